"""The addresses that webhooks may have: public unicast addresses only. Others could be inside our network."""

from __future__ import annotations

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from yarl import URL

HTTPS_PORT = 443
#: Characters of a URL (RFC 3986). Control characters could forge headers. Parsers disagree about backslashes.
_PLAIN = re.compile(r"[!-\[\]-~]+")
#: A name that ends with a number is an IPv4 address in another notation (WHATWG URL, "ends in a number").
_NUMBER = re.compile("[0-9]+|0[xX][0-9a-fA-F]*")
_AUTHORITY_ENDS = re.compile("[/?#]")
#: The first port that needs no special rights. Lower ports belong to other protocols than HTTP.
FIRST_FREE_PORT = 1024
LONGEST_URL = 2000

#: IPv4 addresses that are not public unicast (IANA, "IPv4 Special-Purpose Address Registry"). The answers of
#: `ipaddress` depend on the version of Python.
_CLOSED_V4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT, and metadata of a cloud
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's host, at a public address
        "169.254.0.0/16",  # link-local, and metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols, and metadata of a cloud
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
#: All public IPv6 addresses. Outside are loopback, mapped and compatible IPv4, NAT64, private, link-local and multicast
#: addresses.
_GLOBAL_V6 = IPv6Network("2000::/3")
#: The exceptions within it.
_CLOSED_V6 = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocols: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # 6bone, given back
        "3fff::/20",  # documentation
    )
)


def is_public(address: str) -> bool:
    """Whether a text is a public unicast address. False if it is not an address, or has a zone."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv4Address):
        return not any(found in each for each in _CLOSED_V4)
    return found.scope_id is None and found in _GLOBAL_V6 and not any(found in each for each in _CLOSED_V6)


def is_loopback(address: str) -> bool:
    try:
        found: IPv4Address | IPv6Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    return found.is_loopback


def complaint(text: str, *, loopback: bool) -> str:
    """Why a URL cannot be a webhook, or empty. With `loopback`, HTTP to this machine is allowed, too.

    The address of its host name is checked later, at each connection.
    """
    if len(text) > LONGEST_URL or not _PLAIN.fullmatch(text):
        return f"must be at most {LONGEST_URL} printable ASCII characters, without spaces and backslashes"
    url = _parsed(text)
    if url is None or not url.host:
        return "must be a URL with a host"
    if "@" in _AUTHORITY_ENDS.split(text.split("//", 1)[1], maxsplit=1)[0] or "#" in text:
        return "must not have a user, a password or a fragment in it"
    if loopback and url.scheme == "http" and (url.host == "localhost" or is_loopback(url.host)):
        return ""
    return _complaint_about(url.scheme, url.host, url.port)


def _parsed(text: str) -> URL | None:
    try:
        url = URL(text)
    except ValueError:
        return None
    return url


def _complaint_about(scheme: str, host: str, port: int | None) -> str:
    if scheme != "https":
        return "must begin with https://"
    if port is None or (port != HTTPS_PORT and port < FIRST_FREE_PORT):
        return f"must have the port {HTTPS_PORT}, or one from {FIRST_FREE_PORT} on"
    if _is_address(host):
        return "" if is_public(host) else "must lead to a public address"
    labels = host.rstrip(".").split(".")
    if len(labels) == 1 or _NUMBER.fullmatch(labels[-1]) or labels[-1] in ("localhost", "local", "internal"):
        return "must have a public host name"
    return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
