"""Which addresses are public: pure rules, no lookup, nothing connected.

Everything in IANA's two special-purpose registries is refused (RFC 6890 and its updates, as of
2025-10), those marked "globally reachable" too, since no site lives there. Of IPv6 only 2000::/3,
the one block that IANA gives out, can be public at all. An address that carries an IPv4 address
inside (mapped, NAT64) is judged by that one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_BLOCKS: Final = {
    "this network": "0.0.0.0/8 ::/128",
    "loopback": "127.0.0.0/8 ::1/128",
    "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
    "shared between a provider's customers": "100.64.0.0/10",
    "link-local (cloud metadata)": "169.254.0.0/16 fe80::/10",
    # Azure's platform service lies in public space but answers only from inside a machine.
    "cloud metadata": "168.63.129.16/32",
    "site-local": "fec0::/10",
    "protocol assignments": "192.0.0.0/24 2001::/23",
    "documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
    "AS112": "192.31.196.0/24 192.175.48.0/24 2620:4f:8000::/48",
    "AMT relays": "192.52.193.0/24",
    "6to4": "192.88.99.0/24 2002::/16",
    "benchmarking": "198.18.0.0/15",
    "multicast": "224.0.0.0/4 ff00::/8",
    "reserved": "240.0.0.0/4",
    "local NAT64": "64:ff9b:1::/48",
    "discard": "100::/64 100:0:0:1::/64",
    "segment routing": "5f00::/16",
}
_SPECIAL: Final = [(ip_network(block), name) for name, blocks in _BLOCKS.items() for block in blocks.split()]
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
    inner = _embedded(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        why = refusal_of(str(inner))
        return f"{address} carries {why}" if why else None
    for block, name in _SPECIAL:
        if address in block:
            return f"{address} is {name}"
    public = isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST
    return None if public else f"{address} is not global unicast"


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a packet to this one really goes to: mapped (RFC 4291), NAT64 (RFC 6052)."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped
