"""Which addresses are public, and which only look like it."""

import pytest

from runtime.addresses import is_ones_own, is_public


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "223.255.254.254",
        "2400:cb00::1",
        "2001:4860:4860::8888",
        "2001:0:808:808::f7f7:f7f7",
    ],
)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        # One's own machine and network.
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "::",
        "::1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        # The link, where clouds keep their metadata.
        "169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1111%eth0",
        # Multicast, and the unspecified address.
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "ff02::1",
        "240.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "2001:db8::1",
        # Another within it.
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "2002:7f00:1::1",
        "2002:a00:1::",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "2001:0:7f00:1::",
        "2606:4700::5efe:127.0.0.1",
        "2606:4700::200:5efe:10.0.0.1",
        # What the registries of special-purpose addresses reserve.
        "0.1.2.3",
        "100.127.255.255",
        "192.0.0.1",
        "192.0.0.9",
        "192.0.0.170",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.175.48.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "223.255.255.255.1",
        "224.0.1.1",
        "255.0.0.1",
        "100::1",
        "100:0:0:1::1",
        "2001:1::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:30::1",
        "2001:db8:ffff::1",
        "2620:4f:8000::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "8000::1",
        "ff0e::1",
        "::ffff:0:8.8.8.8",
        "::ffff:100.64.0.1",
        "64:ff9b::100.64.0.1",
        "2002:6440:1::1",
        "2001:0:808:808::f5ff:fffe",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        # No address at all.
        "",
        "localhost",
        "127.1",
        "0x7f.1",
        "2130706433",
        "8.8.8.8/32",
        "8.8.8.8 ",
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "a.localhost", "printer.local", "metadata.google.internal", "10.0.0.1", "::1"]
)
def test_some_hosts_are_known_to_be_private(host: str) -> None:
    assert is_ones_own(host)


@pytest.mark.parametrize("host", ["shop.example", "localhost.example", "local.example", "8.8.8.8", "2606:4700::1111"])
def test_other_hosts_must_be_resolved(host: str) -> None:
    assert not is_ones_own(host)
