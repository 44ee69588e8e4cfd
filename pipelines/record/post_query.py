"""What a request sent, as the query that replayers append to its URL: so one POST is told from another.

    POST /like  application/x-www-form-urlencoded  a=1&b=x+y     →  /like?__wb_method=POST&a=1&b=x y
    POST /view  application/json  {"a":[1,2],"b":{"c":null}}     →  /view?__wb_method=POST&a=1&a.2_=2&c=null
    POST /blob  anything else                                    →  /blob?__wb_method=POST&__wb_post_data=<base64>

As pywb computes it when it indexes and when it replays (tests compare with it); replayweb.page's differs
in corners, and takes the most similar row there.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode

METHODS: Final = frozenset({"POST", "PUT"})
"""Those whose bodies replayers look at."""
BODY_MAX: Final = 1 << 20
"""Bytes of a body that are looked at: JSON beyond it is keyed by its method alone."""
_QUERY_MAX: Final = 4096
_NAME: Final = re.compile(rb'\bname="([^"]*)"')


def with_query(url: str, method: str, query: str) -> str:
    """The URL with method and query appended."""
    return f"{url}{'&' if '?' in url else '?'}__wb_method={method}" + (query and f"&{query}")


def sent_query(content_type: str, body: bytes) -> tuple[str, str]:
    """The query of a body, as pywb keys it and as replayweb.page does: a form stays as it was sent there."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        with suppress(UnicodeDecodeError):
            form = body.decode("utf-8")
            return unquote_plus(form)[:_QUERY_MAX], form[:_QUERY_MAX]
    query = _query_of(content_type, body)[:_QUERY_MAX] if body else ""
    return query, query


def _query_of(content_type: str, body: bytes) -> str:
    try:
        if content_type.startswith("multipart/"):
            return urlencode(list(_parts(content_type, body)))
        if content_type.startswith(("application/json", "text/plain")):
            return _flat(body)
    except (ValueError, OverflowError, RecursionError):  # not what it says it is
        if content_type.startswith("application/json"):
            return ""
    return _binary(body)


def _binary(body: bytes) -> str:
    return "__wb_post_data=" + base64.b64encode(body).decode("ascii")


def _parts(content_type: str, body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and value of each part of a form (RFC 7578). Raises ValueError without a boundary."""
    boundary = content_type.partition("boundary=")[2].partition(";")[0].strip().strip('"')
    if not boundary:
        raise ValueError("a multipart type without a boundary")
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))[1:]:
        head, _, value = part.partition(b"\r\n\r\n")
        if name := _NAME.search(head):
            yield name[1], value


def _flat(body: bytes) -> str:
    """JSON's leaves under their nearest name; a name that comes again is numbered. Raises ValueError."""
    leaves: dict[str, str] = {}
    again: Counter[str] = Counter()

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, key)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, name)
        elif name:
            key = name
            if name in leaves:
                again[name] += 1
                key = f"{name}.{again[name] + 1}_"
            leaves[key] = _text(value)

    walk(json.loads(body), "")
    return urlencode(leaves)


def _text(value: Any) -> str:
    """A leaf as JavaScript prints it. Raises OverflowError for infinity."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(value) if math.modf(value)[0] else str(int(value))
    return json.dumps(value)
