r"""One value, one run of bytes: RFC 8785 JSON without floats, and the one form of a time.

    {"index":7,"time":"2026-11-23T08:13:00.123Z"}

What is hashed is always such bytes. Reading is strict: UTF-8 without a byte order mark, no
duplicate keys, integers of |n| < 2^53 only, nothing before or after the value, and the bytes
must be exactly those that writing the value again gives (so `-0`, `1e3`, `A`, spaces and
unsorted keys are all refused). Never hash what you parsed and wrote again: hash what is stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Final, TypeAlias

import rfc8785

from evidence.errors import CanonicalError

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | bool | None"
"""What strict reading gives. `True` and `1` are different values; floats do not exist."""

MAX_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = 64
"""Arrays and objects inside one another: far above any format of ours, far below the interpreter's stack."""

MAX_PLAIN_DEPTH: Final = 48
"""Leaves room for the document that such a value is put into."""
TOO_DEEP: Final = "(nested too deeply to be kept)"

_write: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":")
).encode
"""RFC 8785 where all is ASCII, and quick; beyond that, keys sort otherwise. Only for what is checked already."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


def canonical(value: object) -> bytes:
    """The canonical bytes of a value made of dict, list, tuple, str, int, bool and None.

    Raises CanonicalError (rule `float`, `integer`, `type`, `depth`, `text`) for anything else.
    """
    _refuse_inexact(value, 0)
    if (text := _write(value)).isascii():
        return text.encode()
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]  # _refuse_inexact has just narrowed it
    except ValueError as error:  # rfc8785's own errors are ValueErrors, and so is a lone surrogate
        raise CanonicalError(f"not Unicode text: {error}", rule="text") from error


def parse(data: bytes) -> JSON:
    """The value of canonical bytes.

    Raises CanonicalError with the rule that broke (`utf-8`, `json`, `float`, `integer`, `depth`,
    `text`, `canonical`) and, where it can be told, the byte offset.
    """
    try:
        text = data.decode("utf-8")
        value: JSON = json.loads(text)
    except UnicodeDecodeError as error:
        raise CanonicalError("not UTF-8", rule="utf-8", offset=error.start) from error
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode())
        raise CanonicalError(f"not JSON: {error.msg}", rule="json", offset=offset) from error
    except ValueError as error:  # thousands of digits
        raise CanonicalError("an integer is not below 2^53", rule="integer") from error
    except RecursionError as error:
        raise CanonicalError("nested too deeply", rule="depth") from error
    again = canonical(value)  # refuses floats; what comes back otherwise (a key given twice) differs
    if again != data:
        place = first_difference(data, again)
        raise CanonicalError("not the canonical form (RFC 8785)", rule="canonical", offset=place)
    return value


def plain(value: object, depth: int = 0) -> JSON:
    """A value from elsewhere (a page, an option list) brought into what `canonical` accepts.

    Floats, integers of 2^53 and more, and all other kinds become text; tuples and sets become
    lists; keys become text; lone surrogates, which no UTF-8 can hold, become U+FFFD; what a hostile
    page nests more than MAX_PLAIN_DEPTH deep is replaced by TOO_DEEP.
    """
    if depth > MAX_PLAIN_DEPTH:
        return TOO_DEEP
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= MAX_INTEGER:
        return int(value)
    if isinstance(value, Mapping):
        return {_text(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = value if isinstance(value, (list, tuple)) else sorted(value, key=str)
        return [plain(item, depth + 1) for item in items]
    return _text(value)


def utc(moment: datetime) -> str:
    """A moment as `2026-11-23T08:13:00.123Z`: UTC, cut (not rounded) to the millisecond.

    Raises CanonicalError (rule `time`) for a moment without a time zone.
    """
    if moment.tzinfo is None:
        raise CanonicalError(f"{moment.isoformat()} has no time zone", rule="time")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_utc(text: str) -> datetime:
    """The moment of a text that `utc` wrote. Raises CanonicalError (rule `time`) for any other form."""
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:  # the form is right, the date is not: 2026-02-30
        pass
    raise CanonicalError(f"{text!r} is no UTC time like 2026-11-23T08:13:00.123Z", rule="time")


def first_difference(one: bytes, other: bytes) -> int | None:
    """Offset of the first byte in which two runs differ, the shorter one's end included; None if equal."""
    if one == other:
        return None
    return next((i for i, (a, b) in enumerate(zip_longest(one, other)) if a != b), None)


def field_at(document: bytes, offset: int) -> str:
    """The path of the innermost value that covers the byte of a canonical document: `media[0].bytes`.

    A key, and the comma before it, belong to its value; the outer braces to none.
    """
    return _field_at(parse(document), offset).lstrip(".")


def _field_at(value: JSON, offset: int) -> str:
    members: list[tuple[str, int, JSON]] = []
    if isinstance(value, dict):  # strict reading keeps the order of the bytes
        members = [(f".{key}", len(canonical(key)) + 1, item) for key, item in value.items()]
    elif isinstance(value, list):
        members = [(f"[{number}]", 0, item) for number, item in enumerate(value)]
    end = 1
    for name, head, item in members:
        start = end + head + (end > 1)
        end = start + len(canonical(item))
        if 1 <= offset < end:
            return name + _field_at(item, offset - start)
    return ""


def _refuse_inexact(value: object, depth: int) -> None:
    if type(value) is str:  # most of what there is
        return
    if depth > MAX_DEPTH:
        raise CanonicalError(f"nested deeper than {MAX_DEPTH}", rule="depth")
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            _refuse_inexact(item, depth + 1)
    elif isinstance(value, float):
        raise CanonicalError(f"{value!r} is a float: use an integer in a named unit", rule="float")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise CanonicalError(f"{value} is not below 2^53", rule="integer")
    elif value is not None and not isinstance(value, (str, int)):
        raise CanonicalError(f"{type(value).__name__} has no canonical form", rule="type")


def _text(value: object) -> str:
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
