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
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

from evidence.errors import RefusedError, UsageError
from storage.addresses import refusal_of

Addresses = tuple[str, ...]
Lookup = Callable[[str], Addresses]

_NOT_IN_A_URL: Final = re.compile(r"[\x00-\x20\x7f\\]")
_HOST: Final = re.compile(r"[^\x00-\x20\x7f#%/<>?@\[\\\]^|]{1,254}")


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
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, ip = part.partition("=")
        try:
            address = str(ip_address(ip.strip() if plain(name) else ""))
        except ValueError as error:
            why = f"AKASHI_HOSTS: {part!r} is not name=address"
            raise UsageError(why, next="correct AKASHI_HOSTS") from error
        hosts[plain(name)] = (*hosts.get(plain(name), ()), address)
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
        self.hosts = hosts_from(os.environ.get("AKASHI_HOSTS", "")) if hosts is None else hosts
        self.allow_private = allow_private
        self._lookup = lookup
        self._pinned: dict[str, Addresses] = {}
        self._asking: dict[str, Lock] = {}

    def resolve(self, host: str) -> Addresses:
        """A host's addresses, every one of them allowed; the same for as long as the resolver lives.

        Raises RefusedError (code `address-refused`) when one is not public, socket.gaierror when
        there is none (asked again the next time). Blocks while the system's resolver is asked.
        """
        name = plain(host)
        with self._asking.setdefault(name, Lock()):
            if name not in self._pinned:
                self._pinned[name] = self._ask(name)
        self.check(name, self._pinned[name])
        return self._pinned[name]

    def check(self, host: str, addresses: Addresses) -> None:
        """Raise RefusedError (code `address-refused`) unless every address is public or allowed."""
        refusals = () if self.allow_private else map(refusal_of, addresses)
        for why in filter(None, refusals):
            raise RefusedError(
                why if host in addresses else f"{host}: {why}",
                code="address-refused",
                next="only public addresses are captured (--allow-private)",
            )

    def _ask(self, name: str) -> Addresses:
        if name in self.hosts:
            return self.hosts[name]
        try:
            return (str(ip_address(name)),)
        except ValueError:
            return self._lookup(name)


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
        name = str(IPv6Address(host)) if "[" in parts.netloc else host.encode("idna").decode("ascii")
    except ValueError as error:
        raise malformed(str(error)) from error
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    if usual is None:
        raise malformed("is neither http nor https")
    if "@" in parts.netloc:
        raise malformed("names a user or a password")
    if not _HOST.fullmatch(name):
        raise malformed("its host can be neither a name nor an address")
    return parts.scheme, name, usual if port is None else port


def check_url(url: str, resolver: Resolver) -> None:
    """Refuse a URL before anything starts: raises UsageError (parse_url) and RefusedError (resolve).

    A name that does not resolve is no refusal: the capture starts, and fails `dns-failed`.
    """
    _, host, _ = parse_url(url)
    with suppress(socket.gaierror):
        resolver.resolve(host)
