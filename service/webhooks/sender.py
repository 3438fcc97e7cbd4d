"""Sends deliveries to the URLs of tenants, never into our own network, and with short timeouts."""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
from aiohttp.connector import AddrInfoType

from processor.ports.webhooks import Answered
from service.webhooks.addresses import is_loopback, is_public

#: The most bytes that are read of an answer. They are not used, but some receivers expect that somebody reads them.
READ_BYTES = 4096
#: The longest time to connect, in seconds, including the look-up of the name.
CONNECT_SECONDS = 5
#: Statuses with which a receiver may say when to come again.
BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
#: Digits of a number of seconds that are read: more is longer than anybody waits.
_MOST_DIGITS = 9
USER_AGENT = "truss-image-webhooks"


class AddressNotAllowed(OSError):
    """The host name has an address that is not public."""


def webhook_session(*, seconds: float, loopback: bool, ca_file: str | None = None) -> aiohttp.ClientSession:
    """A session that connects only to public addresses; with `loopback`, to this machine, too.

    The address is checked after the look-up, when the socket is made, for every connection. To check the name would not
    be safe, because its address may change a moment later. No connection is used twice. A proxy of the environment is
    not used, because the proxy would look up the names.
    """

    def checked_socket(found: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = found
        if not (is_public(str(address[0])) or (loopback and is_loopback(str(address[0])))):
            raise AddressNotAllowed("address not allowed")
        made = socket.socket(family, kind, protocol)
        made.settimeout(0)
        return made

    trust = ssl.create_default_context()
    if ca_file is not None:
        trust.load_verify_locations(cafile=ca_file)
    connector = aiohttp.TCPConnector(
        ssl=trust, force_close=True, use_dns_cache=False, limit=0, socket_factory=checked_socket
    )
    return aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS),
        headers={"User-Agent": USER_AGENT, "Content-Type": "application/json"},
        skip_auto_headers=("Accept-Encoding",),
    )


@dataclass(frozen=True, slots=True)
class HttpSender:
    """The sender. It reports failures by short codes, because the receiver's own text may be anything."""

    session: aiohttp.ClientSession

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Send one request. Only a 2xx status is success; redirects are not followed."""
        try:
            async with self.session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                await answer.content.read(READ_BYTES)
                return Answered(
                    status=answer.status,
                    code=_code_of_status(answer.status),
                    retry_after=_retry_after(answer) if answer.status in BUSY else 0,
                )
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return Answered(code=_code_of_error(error))


def _retry_after(answer: aiohttp.ClientResponse) -> int:
    """Seconds from now, whichever way the header says it (RFC 9110, 10.2.3); 0 for none, and for what is neither."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return int(text[:_MOST_DIGITS])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0
    now = datetime.now(at.tzinfo)
    return max(0, math.ceil((at - now).total_seconds()))


def _code_of_status(status: int) -> str:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return ""
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "redirected"
    return "refused" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "receiver_failed"


def _code_of_error(error: BaseException) -> str:
    if isinstance(getattr(error, "os_error", None), AddressNotAllowed):
        return "address_not_allowed"
    if isinstance(error, TimeoutError):
        return "timed_out"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name_not_found"
    if isinstance(error, aiohttp.ClientSSLError):
        return "no_trust"
    return "no_connection" if isinstance(error, aiohttp.ClientConnectorError) else "no_answer"
