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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from evidence.canonical import parse_utc
from evidence.errors import CanonicalError
from evidence.identifiers import is_ulid

Shape: TypeAlias = Any
"""A Scalar, OrNull, str, int, bool or object, or a dict or one-item list of shapes."""


class ShapeError(ValueError):
    """`path` names the value that has not its declared shape."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path or 'the document'}: {what}")
        self.path = path


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value of exactly this type that passes the test; `what` completes "is not …"."""

    kind: type
    what: str
    test: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class OrNull:
    """The shape, or null."""

    shape: Shape


def matching(what: str, pattern: str) -> Scalar:
    """Text that the pattern matches whole."""
    expression = re.compile(pattern, re.ASCII)
    return Scalar(str, what, lambda value: expression.fullmatch(value) is not None)


def one_of(*choices: str) -> Scalar:
    """One of these texts."""
    return Scalar(str, f"one of {', '.join(choices)}", choices.__contains__)


def _is_utc(value: str) -> bool:
    try:
        parse_utc(value)
    except CanonicalError:
        return False
    return True


Count: Final = Scalar(int, "an integer, 0 or more", lambda value: value >= 0)
Text: Final = Scalar(str, "text of 1 to 65536 characters", lambda value: 0 < len(value) <= 1 << 16)
Slug: Final = matching("1 to 64 of a-z 0-9 . _ -", r"[a-z0-9._-]{1,64}")
Hex32: Final = matching("32 lower-case hexadecimal digits", r"[0-9a-f]{32}")
Sha256: Final = matching("64 lower-case hexadecimal digits", r"[0-9a-f]{64}")
Sha256OrEmpty: Final = matching("64 lower-case hexadecimal digits, or empty", r"(?:[0-9a-f]{64})?")
Sha512: Final = matching("128 lower-case hexadecimal digits", r"[0-9a-f]{128}")
Ulid: Final = Scalar(str, "a ULID", is_ulid)
Utc: Final = Scalar(str, "a UTC time like 2026-11-23T08:13:00.123Z", _is_utc)
Key: Final = matching(
    "an object key of A-Z a-z 0-9 . _ = - in parts of 1 to 200, none of them only dots",
    r"(?!.{1025})(?:(?!\.+(?:/|$))[A-Za-z0-9._=-]{1,200}/)*(?!\.+$)[A-Za-z0-9._=-]{1,200}",
)
DIGESTS: Final = {"sha256": Sha256, "sha512": Sha512, "size": Count}


def check(value: object, shape: Shape, path: str = "") -> None:
    """Check a parsed value. Raises ShapeError naming the first value that differs."""
    if isinstance(shape, OrNull):
        if value is not None:
            check(value, shape.shape, path)
    elif isinstance(shape, Scalar):
        if type(value) is not shape.kind or not shape.test(value):  # exactly: True is no integer here
            raise ShapeError(path, f"is not {shape.what}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise ShapeError(path, "is not a list")
        for number, item in enumerate(value):
            check(item, shape[0], f"{path}[{number}]")
    elif isinstance(shape, type):
        if shape is not object and type(value) is not shape:
            raise ShapeError(path, f"is not of the type {shape.__name__}")
    else:
        _check_object(value, shape, f"{path}.".lstrip("."))


def _check_object(value: object, shape: dict[str, Shape], prefix: str) -> None:
    if not isinstance(value, dict):
        raise ShapeError(prefix.rstrip("."), "is not an object")
    shapes = {key.rstrip("?"): item for key, item in shape.items()}
    if "*" in shape:
        shapes = dict.fromkeys(value, shape["*"])
    for key in sorted(shapes.keys() - value.keys()):
        if f"{key}?" not in shape:
            raise ShapeError(f"{prefix}{key}", "is missing")
    for key in sorted(value.keys() - shapes.keys()):
        raise ShapeError(f"{prefix}{key}", "is not declared")
    for key, item in value.items():
        check(item, shapes[key], f"{prefix}{key}")
