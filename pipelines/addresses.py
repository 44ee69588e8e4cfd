"""Which addresses are public: pure rules, no lookup, nothing connected.

Everything in IANA's two special-purpose registries is refused (IPv4: RFC 6890 and its updates, as
of 2025-10; IPv6 likewise), those marked "globally reachable" too, since no site lives there. Of
IPv6 only 2000::/3, the one block that IANA gives out, can be public at all. An address that
carries an IPv4 address inside (mapped, NAT64) is judged by that one as well.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_V4: Final = tuple(
    (IPv4Network(block), name)
    for block, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared between a provider's customers"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local (cloud metadata)"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT relays"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        # Azure's platform service lies in public space but answers only from inside a machine.
        ("168.63.129.16/32", "cloud metadata"),
    )
)
_V6: Final = tuple(
    (IPv6Network(block), name)
    for block, name in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("100:0:0:1::/64", "dummy"),
        ("2001::/23", "protocol assignments (Teredo, ORCHID, benchmarking)"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")


def refusal_of(ip: str) -> str | None:
    """Why an address is not public, e.g. `127.0.0.1 is loopback`; None when it is.

    `ip` is an IPv4 or IPv6 address in any form that `ipaddress` reads, a zone included. What is
    no address at all is refused as well, so that a caller's mistake never opens the door.
    """
    try:
        address = ip_address(ip)
    except ValueError:
        return f"{ip!r} is not an address"
    if isinstance(address, IPv4Address):
        return next((f"{address} is {name}" for block, name in _V4 if address in block), None)
    inner = _embedded(address)
    if inner is not None:
        why = refusal_of(str(inner))
        return f"{address} carries {why}" if why else None
    for block, name in _V6:
        if address in block:
            return f"{address} is {name}"
    return None if address in _GLOBAL_UNICAST else f"{address} is not global unicast"


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a packet to this one really goes to: mapped (RFC 4291), NAT64 (RFC 6052)."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
