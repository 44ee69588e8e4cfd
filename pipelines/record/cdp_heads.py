"""HTTP heads rendered from what DevTools tells: fields in its order, a repeated field's values apart again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

_CODINGS: Final = re.compile(rb"(?im)^(?=(?:content-encoding|transfer-encoding|content-length):)")
_END: Final = "\r\n\r\n"


def request_head(request: Mapping[str, Any], extra: Mapping[str, Any]) -> bytes:
    """The request's head: its fields as sent (`extra`), else as first planned."""
    parts = urlsplit(request["url"])
    fields = dict(extra.get("headers") or request["headers"])
    if ":authority" in fields:
        fields = {"host": fields[":authority"], **fields}
    elif not any(name.lower() == "host" for name in fields):
        fields = {"Host": parts.netloc, **fields}
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _render(f"{request['method']} {target} HTTP/1.1", fields)


def response_head(response: Mapping[str, Any], extra: Mapping[str, Any]) -> bytes:
    """The answer's head: as received (`extra`), where the browser has kept its text; else from its fields.

    The text lacks what is not UTF-8 in it, line ends included, so that it counts only where all is ASCII.
    """
    fields = extra.get("headers") or response["headers"]
    text = extra.get("headersText", "")
    if text.startswith("HTTP/") and text.endswith(_END) and "".join(fields.values()).isascii():
        return str(text).encode("utf-8")
    reason = response.get("statusText", "") if not extra or extra["statusCode"] == response["status"] else ""
    return _render(f"HTTP/1.1 {extra.get('statusCode') or response['status']} {reason}", fields)


def without_codings(head: bytes) -> bytes:
    """The head with the fields that no longer describe a decoded body renamed: `X-Orig-Content-Encoding: gzip`."""
    return _CODINGS.sub(b"X-Orig-", head)


def _render(first: str, fields: Mapping[str, str]) -> bytes:
    lines = [
        f"{name}: {one}" for name, value in fields.items() if name[0] != ":" for one in value.split("\n")
    ]
    return b"".join(map(_byte, "\r\n".join([first, *lines]) + _END))


def _byte(letter: str) -> bytes:
    """The byte that was told as a letter: DevTools reads windows-1252, in some events Latin-1."""
    for charset in ("cp1252", "latin-1"):
        with suppress(UnicodeEncodeError):
            return letter.encode(charset)
    return letter.encode("utf-8", "replace")
