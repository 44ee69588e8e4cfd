"""Checks JSON against a TypedDict: a format is declared once, for mypy, for readers and for parsing.

    class Signed(TypedDict):
        keyid: Text
        sig: Base64

A document must have exactly the declared keys (`NotRequired` ones may lack), each of exactly the
declared type: no boolean where an integer stands, no key that nobody declared. A format that is
frozen cannot afford a reader who is generous.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from evidence.canonical import parse_utc
from evidence.errors import CanonicalError
from evidence.identifiers import is_ulid

Rule: TypeAlias = Callable[[Any], bool]


class ShapeError(ValueError):
    """`path` names the value that has not its declared shape, `what` says why."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path or 'the document'}: {what}")
        self.path = path


def _matching(pattern: str) -> Rule:
    expression = re.compile(pattern, re.ASCII)
    return lambda value: expression.fullmatch(value) is not None


def _is_utc(value: str) -> bool:
    try:
        parse_utc(value)
    except CanonicalError:
        return False
    return True


Count = Annotated[int, "an integer, 0 or more", lambda value: value >= 0]
Text = Annotated[str, "text of 1 to 65536 characters", lambda value: 0 < len(value) <= 1 << 16]
Slug = Annotated[str, "1 to 64 of a-z 0-9 . _ -", _matching(r"[a-z0-9._-]{1,64}")]
Hex32 = Annotated[str, "32 lower-case hexadecimal digits", _matching(r"[0-9a-f]{32}")]
Sha256 = Annotated[str, "64 lower-case hexadecimal digits", _matching(r"[0-9a-f]{64}")]
Sha256OrEmpty = Annotated[str, "64 lower-case hexadecimal digits, or empty", _matching(r"(?:[0-9a-f]{64})?")]
Sha512 = Annotated[str, "128 lower-case hexadecimal digits", _matching(r"[0-9a-f]{128}")]
Ulid = Annotated[str, "a ULID", is_ulid]
Utc = Annotated[str, "a UTC time like 2026-11-23T08:13:00.123Z", _is_utc]
Key = Annotated[
    str,
    "an object key of A-Z a-z 0-9 . _ = - in parts of 1 to 200, none of them only dots",
    _matching(r"(?!.{1025})(?:(?!\.+(?:/|$))[A-Za-z0-9._=-]{1,200}/)*(?!\.+$)[A-Za-z0-9._=-]{1,200}"),
]


def check(value: object, shape: Any, path: str = "") -> None:
    """Check a parsed value against a type. Raises ShapeError naming the first value that differs."""
    origin = get_origin(shape)
    if shape is Any:
        return
    if is_typeddict(shape):
        _check_document(value, shape, path)
    elif origin is Annotated:
        base, what, rule = get_args(shape)
        _check_scalar(value, base, path, what)
        if not rule(value):
            raise ShapeError(path, f"is not {what}")
    elif origin is Literal:
        if not any(
            value is choice or (isinstance(value, str) and value == choice) for choice in get_args(shape)
        ):
            raise ShapeError(path, f"is none of {', '.join(map(repr, get_args(shape)))}")
    elif origin in {Union, UnionType}:
        _check_optional(value, shape, path)
    elif origin in {list, dict}:
        _check_items(value, origin, get_args(shape)[-1], path)
    else:
        _check_scalar(value, shape, path, shape.__name__)


def _check_document(value: object, shape: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise ShapeError(path, "is not an object")
    hints, required = _declared(shape)
    for key in sorted(required - set(value)):
        raise ShapeError(f"{path}.{key}".lstrip("."), "is missing")
    for key in sorted(set(value) - set(hints)):
        raise ShapeError(f"{path}.{key}".lstrip("."), "is not declared")
    for key, item in value.items():
        check(item, hints[key], f"{path}.{key}".lstrip("."))


def _check_optional(value: object, shape: Any, path: str) -> None:
    choices = [choice for choice in get_args(shape) if choice is not NoneType]
    if value is None and len(choices) < len(get_args(shape)):
        return
    (choice,) = choices  # one type or null: a reader must never have to guess which
    check(value, choice, path)


def _check_items(value: object, kind: Any, item_shape: Any, path: str) -> None:
    if not isinstance(value, kind):
        raise ShapeError(path, f"is not {'a list' if kind is list else 'an object'}")
    pairs: Any = enumerate(value) if isinstance(value, list) else value.items()
    for name, item in pairs:
        check(item, item_shape, f"{path}[{name}]" if kind is list else f"{path}.{name}".lstrip("."))


def _check_scalar(value: object, kind: Any, path: str, what: str) -> None:
    if type(value) is not kind:  # exactly: True is no integer here
        raise ShapeError(path, f"is not {what}")


@cache
def _declared(shape: Any) -> tuple[dict[str, Any], frozenset[str]]:
    hints = get_type_hints(shape, include_extras=True)
    optional = {key for key, hint in hints.items() if get_origin(hint) is NotRequired}
    bare = {key: get_args(hint)[0] if key in optional else hint for key, hint in hints.items()}
    return bare, frozenset(hints) - optional
