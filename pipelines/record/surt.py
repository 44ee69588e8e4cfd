"""The key under which replayers look a URL up: SURT, in the canonical form that the Wayback tools share.

    https://www2.Example.org:443/a//b/../C/?z=1&a=%7E#top    →    org,example)/a/c?a=~&z=1

Two URLs with one key are one page to pywb, so the rules must be theirs to the letter (tests compare
with their canonicaliser): the Safe Browsing rules for escapes, hosts and paths, then lower case, sorted
arguments, and no `www`, default port, user, session id, empty query or slash at the end.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

_PARTS: Final = re.compile(rb"(?s)([a-z][a-z0-9+.-]*):(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?", re.IGNORECASE)
_SAFE: Final = b"!\"$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_UNESCAPINGS: Final = 64
"""A URL escaped more often than this is nobody's; each time costs a pass over it."""
_SESSION_IN: Final = 1 << 13
"""Bytes of a query in which a session id is sought: the expressions are quadratic."""
_PORT: Final = {b"http": b"80", b"https": b"443"}
_SESSIONS: Final = tuple(
    re.compile(rb"^(.*)" + session + rb"(?:&(.*))?$", re.IGNORECASE)
    for session in (
        *(rb"jsessionid=[0-9a-z]{32}", rb"phpsessid=[0-9a-z]{32}", rb"sid=[0-9a-z]{32}"),
        *(rb"aspsessionid[a-z]{8}=[a-z]{24}", rb"cfid=[^&]+&cftoken=[^&]+"),
    )
)


def surt(url: str) -> str:
    """The key of an absolute URL (or a `urn:`), in ASCII; what is no URL is its own key, escaped."""
    data = re.sub(rb"[\r\n\t]", b"", url.strip().encode("utf-8", "replace"))
    parts = _PARTS.match(data)
    if not parts:
        return _escape(data).decode("ascii")
    scheme, authority, path, query = parts.groups()
    key = b"" if authority else scheme + b":"
    if authority:
        host, port = _host_and_port(authority)
        key = b",".join(reversed(host.split(b"."))) + (
            b":" + port if port != _PORT.get(scheme.lower()) else b""
        )
        key = key.removesuffix(b":") + b")"
    key += _path(path, normal=bool(authority))
    if query and (query := _query(query)):
        key += b"?" + query
    return key.decode("ascii")


def _host_and_port(authority: bytes) -> tuple[bytes, bytes]:
    host, port = re.fullmatch(rb"(?s)(\[[^\]]*\]|.*?)(?::(\d*))?", authority.rpartition(b"@")[2]).groups(b"")  # type: ignore[union-attr]  # it matches anything
    host = _unescape(host.strip(b"[]"))
    if not host.isascii():
        with contextlib.suppress(UnicodeError):  # no name that could be resolved: kept as it is, escaped
            host = host.decode("utf-8", "ignore").encode("idna")
    host = _escape(host.replace(b"..", b".").strip(b".").lower())
    return re.sub(rb"^www\d*\.", b"", host), port


def _path(path: bytes, *, normal: bool) -> bytes:
    path = _unescape(path)
    if normal:
        kept: list[bytes] = []
        for step in path.split(b"/")[1:]:
            if step == b"..":
                kept[-1:] = [] if kept else [step]
            elif step != b".":
                kept.append(step)
        path = b"/" + b"/".join([step for step in kept[:-1] if step] + kept[-1:])
    path = _escape(path).lower()
    return path[:-1] if path.endswith(b"/") and len(path) > 1 else path


def _query(query: bytes) -> bytes:
    query = _escape(_unescape(query))
    for session in _SESSIONS if len(query) <= _SESSION_IN else ():
        query = session.sub(rb"\1\2", query)
    arguments = sorted(query.lower().split(b"&"), key=lambda one: one.split(b"=", 1))
    return b"&".join(arguments)


def _unescape(data: bytes) -> bytes:
    for _ in range(_UNESCAPINGS):
        if data == (data := unquote_to_bytes(data)):
            break
    return data


def _escape(data: bytes) -> bytes:
    return quote_from_bytes(data, safe=_SAFE).encode("ascii")
