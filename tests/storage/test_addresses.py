from ipaddress import ip_network

import pytest

from storage.addresses import refusal_of

# Every block of IANA's two special-purpose registries, those inside another one too.
SPECIAL = [
    *("0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32"),
    *("192.0.0.170/32", "192.0.0.171/32", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
    *("192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
    *("198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "255.255.255.255/32"),
    *("::1/128", "::/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001::/32"),
    *("2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48"),
    *("2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48"),
    *("3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10"),
]


@pytest.mark.parametrize("block", SPECIAL)
def test_both_ends_of_every_special_purpose_block_are_refused(block: str) -> None:
    network = ip_network(block)
    assert refusal_of(str(network[0])) is not None
    assert refusal_of(str(network[-1])) is not None


@pytest.mark.parametrize(
    "ip", ["224.0.0.1", "239.255.255.255", "ff02::1", "fec0::1", "4000::1", "::127.0.0.1", "168.63.129.16"]
)
def test_multicast_unassigned_space_and_cloud_metadata_are_refused(ip: str) -> None:
    assert refusal_of(ip) is not None


@pytest.mark.parametrize(
    "ip",
    ["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
     "128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
     "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2606:4700::1111", "2a00::1",
     "2003::1", "3ffe:ffff::1"],
)  # fmt: skip
def test_the_neighbours_of_special_blocks_are_public(ip: str) -> None:
    assert refusal_of(ip) is None


@pytest.mark.parametrize("prefix", ["::ffff:", "64:ff9b::"])
def test_an_embedded_ipv4_address_decides(prefix: str) -> None:
    assert refusal_of(f"{prefix}8.8.8.8") is None
    assert "loopback" in refusal_of(f"{prefix}127.0.0.1")
    assert "169.254.169.254" in refusal_of(f"{prefix}169.254.169.254")


@pytest.mark.parametrize("ip", ["", "localhost", "127.1", "0x7f.0.0.1", "256.1.1.1", "8.8.8.8 ", "08.8.8.8"])
def test_what_is_no_address_is_refused(ip: str) -> None:
    assert "is not an address" in refusal_of(ip)


def test_a_zone_changes_nothing() -> None:
    assert "link-local" in refusal_of("fe80::1%eth0")


def test_the_reason_names_address_and_block() -> None:
    assert refusal_of("127.0.0.1") == "127.0.0.1 is loopback"
    assert refusal_of("::ffff:10.0.0.1").endswith("carries 10.0.0.1 is private")
