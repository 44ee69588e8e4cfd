"""Names to addresses, once: every answer is checked, and kept for the resolver's life.

One capture has one resolver, so a name that answers with a public address first and a private
one later (DNS rebinding) is never asked twice. A name with any address that is not public is
refused whole, whatever its others are.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from ipaddress import IPv6Address, ip_address
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

from evidence.errors import RefusedError, UsageError
from pipelines.addresses import refusal_of

Addresses = tuple[str, ...]
Lookup = Callable[[str], Addresses]

_NOT_IN_A_URL: Final = re.compile(r"[\x00-\x20\x7f\\]")
_NOT_IN_A_HOST: Final = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^|]")


def system_lookup(host: str) -> Addresses:
    """The addresses that this machine's resolver gives, in the order in which to try them.

    Raises socket.gaierror. Blocks: run it in a thread.
    """
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # Python's own encoding of names: an empty or too long label
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} cannot be a name: {error}") from error
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))


def hosts_from(text: str) -> dict[str, Addresses]:
    """`AKASHI_HOSTS`: `name=ip,name=ip`; a name given twice has two addresses. Raises UsageError."""
    hosts: dict[str, Addresses] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, ip = part.partition("=")
        try:
            address = str(ip_address(ip.strip()))
        except ValueError:
            raise UsageError(
                f"AKASHI_HOSTS: {part!r} is not name=address", next="correct AKASHI_HOSTS"
            ) from None
        key = plain(name)
        if not key:
            raise UsageError(f"AKASHI_HOSTS: {part!r} names no host", next="correct AKASHI_HOSTS")
        hosts[key] = (*hosts.get(key, ()), address)
    return hosts


def plain(host: str) -> str:
    """A host's name as it is compared: lower case, no dot at its end, no brackets around IPv6."""
    return host.strip().strip("[]").rstrip(".").lower()


class Resolver:
    """Resolves, checks and remembers; safe to share between threads.

    `hosts` overrides the system's answer for the names in it (default: AKASHI_HOSTS);
    `allow_private` lifts the address check, nothing else.
    """

    def __init__(
        self,
        hosts: Mapping[str, Addresses] | None = None,
        *,
        allow_private: bool = False,
        lookup: Lookup = system_lookup,
    ) -> None:
        self.hosts = dict(hosts_from(os.environ.get("AKASHI_HOSTS", "")) if hosts is None else hosts)
        self.allow_private = allow_private
        self._lookup = lookup
        self._pinned: dict[str, Future[Addresses]] = {}
        self._lock = Lock()

    def resolve(self, host: str) -> Addresses:
        """A host's addresses, every one of them allowed; the same for as long as the resolver lives.

        Raises RefusedError (code `address-refused`) when one is not public, socket.gaierror when
        there is none (asked again the next time). Blocks while the system's resolver is asked.
        """
        name = plain(host)
        with self._lock:
            pinned = self._pinned.get(name)
            mine = pinned is None
            if pinned is None:
                pinned = self._pinned[name] = Future()
        if mine:
            try:
                pinned.set_result(self._ask(name))
            except OSError as error:
                with self._lock:
                    del self._pinned[name]
                pinned.set_exception(error)
            except BaseException as error:
                # Whoever waits for this answer must not wait for ever, whatever ended it.
                pinned.set_exception(error)
                raise
        addresses = pinned.result()
        self.check(name, addresses)
        return addresses

    def check(self, host: str, addresses: Addresses) -> None:
        """Raise RefusedError (code `address-refused`) unless every address is public or allowed."""
        if self.allow_private:
            return
        for address in addresses:
            why = refusal_of(address)
            if why:
                detail = why if host == address else f"{host}: {why}"
                raise RefusedError(
                    detail,
                    code="address-refused",
                    next="only public addresses are captured (--allow-private)",
                )

    def _ask(self, name: str) -> Addresses:
        if name in self.hosts:
            return tuple(self.hosts[name])
        try:
            return (str(ip_address(name)),)
        except ValueError:
            answers = self._lookup(name)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, f"{name} has no address")
        return answers


def parse_url(url: str) -> tuple[str, str, int]:
    """A URL's scheme, host (as asked of a resolver: ASCII) and port. Nothing is looked up.

    Raises UsageError for what no two clients would read alike: another scheme than http and
    https, a user's name, blanks, control characters, backslashes, percent signs in the host.
    """

    def malformed(why: str) -> UsageError:
        return UsageError(f"{url!r}: {why}", next="give one http or https URL, as a browser shows it")

    if _NOT_IN_A_URL.search(url):
        raise malformed("has a blank, a control character or a backslash in it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise malformed(str(error)) from error
    if parts.scheme not in {"http", "https"}:
        raise malformed("is neither http nor https")
    if "@" in parts.netloc:
        raise malformed("names a user or a password")
    port = port if port is not None else {"http": 80, "https": 443}[parts.scheme]
    name = _name_of(host, in_brackets="[" in parts.netloc)
    if not name:
        raise malformed("its host can be neither a name nor an address")
    return parts.scheme, name, port


def check_url(url: str, resolver: Resolver) -> None:
    """Refuse a URL before anything starts.

    Raises UsageError (parse_url) and RefusedError (code `address-refused`) for a host that is, or
    resolves to, an address that is not public. A name that does not resolve is no refusal: the
    capture starts, and fails `dns-failed`. Blocks while the name is looked up.
    """
    _, host, _ = parse_url(url)
    try:
        resolver.resolve(host)
    except socket.gaierror:
        return


def _name_of(host: str, *, in_brackets: bool) -> str:
    """The host as a resolver is asked for it; empty when it can be none (RFC 1035, RFC 3986)."""
    try:
        if in_brackets:
            return "" if "%" in host else str(IPv6Address(host))
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError:
        return ""
    fits = len(name) <= 254 and all(0 < len(label) <= 63 for label in name.removesuffix(".").split("."))  # noqa: PLR2004
    return name if fits and not _NOT_IN_A_HOST.search(name) else ""
