"""Which addresses count as public, in each way of writing them."""

import pytest

from mousetrap.fetch_data.public import is_public


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "198.17.255.255",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:82b::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:f7f7:f7f7",  # Teredo: server 65.54.227.120, client 8.8.8.8
    ],
)
def test_an_address_of_the_public_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.255",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_an_address_of_ours_or_of_no_host_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "::",
        "::1",
        "::7f00:1",  # 127.0.0.1 in the old compatible form
        "::808:808",
        "100::1",
        "2001:2::1",
        "2001:10::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "ff02::1",
        "::ffff:0:7f00:1",  # 127.0.0.1 translated
        "64:ff9b:1::808:808",
    ],
)
def test_an_ipv6_address_of_ours_or_of_no_host_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("inner", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.1.1", "0.0.0.0"])
def test_an_inward_address_wrapped_into_ipv6_is_not_public(inner: str) -> None:
    a, b, c, d = (int(part) for part in inner.split("."))
    high, low = f"{a:02x}{b:02x}", f"{c:02x}{d:02x}"
    flipped = f"{(a ^ 255):02x}{(b ^ 255):02x}:{(c ^ 255):02x}{(d ^ 255):02x}"

    assert not is_public(f"::ffff:{inner}")  # mapped
    assert not is_public(f"64:ff9b::{high}:{low}")  # NAT64
    assert not is_public(f"2002:{high}:{low}::1")  # 6to4
    assert not is_public(f"2001:0:{high}:{low}:8000:63bf:f7f7:f7f7")  # Teredo's server
    assert not is_public(f"2001:0:4136:e378:8000:63bf:{flipped}")  # Teredo's client


def test_a_text_that_is_no_address_is_not_judged() -> None:
    with pytest.raises(ValueError, match="localhost"):
        is_public("localhost")
