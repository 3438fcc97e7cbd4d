"""A tenant may have us call the public Internet, and nothing else."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.addresses import complaint, is_public

OURS = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",  # metadata
    "169.254.170.2",  # credentials of a container
    "169.254.170.23",  # EKS Pod Identity
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::8.8.8.8",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "100::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:a9fe:a9fe::1",
    "2606:4700::1%1",
    "3fff::1",
    "4000::1",
]


@pytest.mark.parametrize("address", OURS)
def test_what_could_be_ours_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00::1"])
def test_what_anybody_reaches_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "0x7f.1", "2130706433", "127.1", "1.2.3.4.5", "8.8.8.8 "])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_whatever_python_calls_private_is_not_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if address.is_private or address.is_multicast or address.is_reserved or address.is_loopback:
        assert not is_public(str(address))


@given(st.ip_addresses(v=4))
def test_no_address_with_an_ipv4_address_inside_is_public(inner: ipaddress.IPv4Address) -> None:
    packed = int(inner)
    for outer in (
        f"::ffff:{inner}",
        f"::{inner}",
        f"64:ff9b::{inner}",
        str(ipaddress.IPv6Address((0x2002 << 112) | (packed << 80))),
        str(ipaddress.IPv6Address((0x20010000 << 96) | packed)),
    ):
        assert not is_public(outer)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/",
        "https://hooks.example.com",
        "https://hooks.example.com:8443/a/b?c=d&e=%20",
        "https://hooks.example.com:1024/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/x",
        "HTTPS://Hooks.Example.COM./",
    ],
)
def test_a_public_url_can_be_a_webhook(url: str) -> None:
    assert complaint(url, loopback=False) == ""


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.example.com/", "https://"),
        ("ftp://hooks.example.com/", "https://"),
        ("file:///etc/passwd", "host"),
        ("https:///x", "host"),
        ("hooks.example.com", "host"),
        ("https://user@hooks.example.com/", "user"),
        ("https://user:secret@hooks.example.com/", "user"),
        ("https://:@hooks.example.com/", "user"),
        ("https://@hooks.example.com/", "user"),
        ("https://hooks.example.com/#part", "fragment"),
        ("https://hooks.example.com:80/", "port"),
        ("https://hooks.example.com:25/", "port"),
        ("https://hooks.example.com:0/", "port"),
        ("https://hooks.example.com:99999/", "host"),
        ("https://hooks.example.com:port/", "host"),
        ("https://127.0.0.1/", "public"),
        ("https://[::1]/", "public"),
        ("https://[::ffff:10.0.0.1]/", "public"),
        ("https://[fe80::1%25eth0]/", "public"),
        ("https://169.254.169.254/latest/meta-data/", "public"),
        ("https://2130706433/", "public"),
        ("https://127.1/", "public"),
        ("https://0177.0.0.1/", "public"),
        ("https://0x7f.0x0.0x0.0x1/", "public"),
        ("https://127.0.0.0X1./", "public"),
        ("https://10.0.0.0x/", "public"),
        ("https://localhost/", "public"),
        ("https://api.localhost/", "public"),
        ("https://kubernetes/", "public"),
        ("https://metadata.google.internal/", "public"),
        ("https://printer.local/", "public"),
        ("https://hooks.example.com\\@10.0.0.1/", "printable"),
        ("https://hooks.example.com/a b", "printable"),
        ("https://hooks.example.com/a\r\nX-Evil: 1", "printable"),
        ("https://hooks.example.com/\x00", "printable"),
        ("https://bücher.example/", "printable"),
        ("https://hooks.example.com/" + "a" * 2000, "2000"),
        ("", "printable"),
    ],
)
@pytest.mark.parametrize("loopback", [False, True])
def test_any_other_url_is_refused_with_a_reason(url: str, why: str, *, loopback: bool) -> None:
    assert why in complaint(url, loopback=loopback)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/hook", "http://localhost/hook", "http://[::1]:9/"])
def test_this_machine_can_be_called_by_http_in_the_local_mode_alone(url: str) -> None:
    assert complaint(url, loopback=True) == ""
    assert complaint(url, loopback=False) != ""


@given(st.text(max_size=60))
def test_whatever_is_given_there_is_an_answer(text: str) -> None:
    assert complaint("https://" + text, loopback=False) is not None
