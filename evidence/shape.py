"""Checks JSON against a declaration that looks like the document itself.

    {"keyid": Text, "sig": Base64}       exactly these keys; one written as "name?" may lack
    [Count]                              a list of counts
    {"*": Text}                          any keys, each with text
    OrNull(Ulid)                         a ULID, or null
    str, int, bool, object               exactly that type; whatever JSON can hold

No boolean passes where an integer stands, and no key that nobody declared: a format that is frozen
cannot afford a reader who is generous.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from evidence.canonical import parse_utc
from evidence.errors import CanonicalError, CheckFailedError
from evidence.identifiers import is_ulid

Shape: TypeAlias = Any
"""A Scalar, OrNull, str, int, bool or object, or a dict or one-item list of shapes."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value of exactly this type that passes the test; `what` completes "is not …".

    `sure` matches canonical JSON texts that pass, as many as an expression can tell; empty: none.
    """

    kind: type
    what: str
    test: Callable[[Any], bool]
    sure: str = ""


@dataclass(frozen=True, slots=True)
class OrNull:
    """The shape, or null."""

    shape: Shape


def matching(what: str, pattern: str, sure: str = "") -> Scalar:
    """Text that the pattern matches whole; `sure` where the pattern, set into JSON, would say another thing."""
    expression = re.compile(pattern, re.ASCII)
    return Scalar(str, what, lambda value: expression.fullmatch(value) is not None, sure or f'"{pattern}"')


def one_of(*choices: str) -> Scalar:
    """One of these texts, none of which JSON writes otherwise."""
    sure = "|".join(map(re.escape, choices))
    return Scalar(str, f"one of {', '.join(choices)}", choices.__contains__, f'"(?:{sure})"')


def _is_utc(value: str) -> bool:
    try:
        parse_utc(value)
    except CanonicalError:
        return False
    return True


_NUMBER: Final = "(?:0|[1-9][0-9]{0,14})"
PLAIN: Final = r"[ !#-\[\]-~]"
"""A character that JSON writes as one byte, itself."""
_DAY: Final = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_PART: Final = "[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,199}"

Count: Final = Scalar(int, "an integer, 0 or more", lambda value: value >= 0, _NUMBER)
Text: Final = Scalar(
    str, "text of 1 to 65536 characters", lambda value: 0 < len(value) <= 1 << 16, f'"{PLAIN}{{1,1000}}"'
)
Slug: Final = matching("1 to 64 of a-z 0-9 . _ -", r"[a-z0-9._-]{1,64}")
Hex32: Final = matching("32 lower-case hexadecimal digits", r"[0-9a-f]{32}")
Sha256: Final = matching("64 lower-case hexadecimal digits", r"[0-9a-f]{64}")
Sha256OrEmpty: Final = matching("64 lower-case hexadecimal digits, or empty", r"(?:[0-9a-f]{64})?")
Sha512: Final = matching("128 lower-case hexadecimal digits", r"[0-9a-f]{128}")
Ulid: Final = Scalar(str, "a ULID", is_ulid, '"[0-7][0-9A-HJKMNP-TV-Z]{25}"')
Utc: Final = Scalar(
    str,
    "a UTC time like 2026-11-23T08:13:00.123Z",
    _is_utc,
    rf'"[1-9][0-9]{{3}}-{_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{3}}Z"',
)
Key: Final = matching(
    "an object key of A-Z a-z 0-9 . _ = - in parts of 1 to 200, none of them only dots",
    r"(?!.{1025})(?:(?!\.+(?:/|$))[A-Za-z0-9._=-]{1,200}/)*(?!\.+$)[A-Za-z0-9._=-]{1,200}",
    rf'"(?![^"]{{1025}})(?:{_PART}/)*{_PART}"',
)
DIGESTS: Final = {"sha256": Sha256, "sha512": Sha512, "size": Count}


def require(value: object, shape: Shape, error: type[CheckFailedError], *, rule: str, path: str = "") -> None:
    """Check a parsed value; raise the error, with rule and field, for the first value that differs."""
    for field, what in _differences(value, shape, path):
        raise error(f"{field or 'the document'}: {what}", rule=rule, field=field)


def sure(shape: Shape) -> str:
    """An expression for canonical JSON texts that have the shape: both told in one pass. Empty if there is none.

    It knows them when it sees them, but not all of them: what it does not match, `parse` and `require` judge.
    """
    if isinstance(shape, Scalar):
        return shape.sure
    if isinstance(shape, OrNull):
        return f"(?:null|{sure(shape.shape)})" if sure(shape.shape) else ""
    if isinstance(shape, list):
        item = sure(shape[0])
        return rf"\[(?:{item}(?:,{item})*)?\]" if item else ""
    if isinstance(shape, dict):
        return _sure_of_keys(shape)
    return {int: _NUMBER, str: f'"{PLAIN}*"', bool: "(?:true|false)"}.get(shape, "")


def _sure_of_keys(shape: dict[str, Shape]) -> str:
    members = []
    for key in sorted(shape, key=lambda key: key.rstrip("?")):  # ASCII: so RFC 8785 sorts, too
        part = sure(shape[key])
        if key == "*" or not part:
            return ""
        named = f'"{re.escape(key.rstrip("?"))}":{part}'
        members.append(f"(?:{named},)?" if key.endswith("?") else f"{named},")
    return "" if members[-1].endswith("?") else rf"\{{{''.join(members)[:-1]}\}}"


def _differences(value: object, shape: Shape, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(shape, OrNull):
        shape = object if value is None else shape.shape
    if isinstance(shape, list) and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _differences(item, shape[0], f"{path}[{number}]")
    elif isinstance(shape, dict) and isinstance(value, dict):
        yield from _differences_of_keys(value, shape, f"{path}.".lstrip("."))
    elif isinstance(shape, Scalar):
        if type(value) is not shape.kind or not shape.test(value):
            yield path, f"is not {shape.what}"
    elif shape is not object:
        kind = shape if isinstance(shape, type) else type(shape)
        if type(value) is not kind:  # exactly: True is no integer here
            yield path, f"is not of the type {kind.__name__}"


def _differences_of_keys(value: dict[str, object], shape: Shape, prefix: str) -> Iterator[tuple[str, str]]:
    shapes = {key.rstrip("?"): item for key, item in shape.items()}
    if "*" in shape:
        shapes = dict.fromkeys(value, shape["*"])
    for key in sorted(shapes.keys() - value.keys()):
        if f"{key}?" not in shape:
            yield f"{prefix}{key}", "is missing"
    for key in sorted(value.keys() - shapes.keys()):
        yield f"{prefix}{key}", "is not declared"
    for key, item in value.items():
        yield from _differences(item, shapes.get(key, object), f"{prefix}{key}")
