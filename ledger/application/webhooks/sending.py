"""Sending one message: signed by Standard Webhooks, to an address that the ledger may talk to, and nowhere else.

A webhook's URL is chosen by somebody else, so the sender does not trust it: names are resolved here and connected to by
the address that was checked, so that a name which changes its mind leads nowhere; no redirect is followed, no proxy of
the environment used, and of an answer only so much is read as keeps the connection usable.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import httpx
from standardwebhooks.webhooks import Webhook as Signer

from ledger.aggregates.webhooks import split_url
from ledger.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from urllib.parse import SplitResult

    from ledger.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that IANA gives out as public addresses; `is_global` also takes what nobody has been given."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""An IPv4 address in its last bits, which a gateway of our own network leads to (RFC 6052)."""

TIMEOUT_S = 15.0
"""For a whole message; Standard Webhooks recommends 15 to 30 seconds."""
MAX_ANSWER = 16 * 1024
MAX_ADDRESSES = 4
USER_AGENT = "ledger-webhooks/1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message.

    Args:
        failure: why it was not taken, in neutral words; empty if it was.
        gone: the endpoint said that it wants no more (410).
        retry_after: seconds that it asked to be left alone.
    """

    failure: str = ""
    gone: bool = False
    retry_after: float = 0.0


def may_talk_to(address: Address, networks: Sequence[Network], *, encrypted: bool) -> bool:
    """Tells whether messages may go to an address: a public one, or one in the networks of the settings.

    Without encryption only to this machine, and only if the settings name it.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            address = inner
    named = any(address in network for network in networks)
    if not encrypted:
        return named and address.is_loopback
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return named
    return named or (address.is_global and not address.is_multicast)


class Sender:
    """Sends the messages of one webhook, over connections of its own.

    A certificate that was checked for one host must not serve another one behind the same address.
    """

    def __init__(self, url: str, networks: Sequence[Network]) -> None:
        self._url = url
        self._networks = networks
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(),
            follow_redirects=False,
            trust_env=False,
            timeout=TIMEOUT_S,
            headers={"User-Agent": USER_AGENT, "Accept": "*/*"},
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def send(self, message_id: str, body: bytes, content_type: str, secrets: Sequence[str]) -> Outcome:
        """Sends a message and returns what became of it; never raises for what the other side does."""
        parts = split_url(self._url)
        if parts is None:
            return Outcome("The URL is none that a webhook may have.")
        now = utc_now()
        signatures = [Signer(secret).sign(message_id, now, body.decode()) for secret in secrets]
        headers = {
            "Host": parts.netloc,
            "Content-Type": content_type,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        try:
            async with asyncio.timeout(TIMEOUT_S):
                addresses = await self._addresses(parts)
                if not addresses:
                    return Outcome("Its address is not public, and LEDGER_WEBHOOK_NETWORKS does not name it.")
                return await self._try(parts, addresses, headers, body)
        except TimeoutError:
            return Outcome(f"No answer within {TIMEOUT_S:.0f} seconds.")
        except socket.gaierror:
            return Outcome("The name of the host cannot be resolved.")
        except (httpx.HTTPError, OSError, ValueError) as error:
            return Outcome(f"The connection failed: {type(error).__name__}.")

    async def _addresses(self, parts: SplitResult) -> list[Address]:
        """Returns the addresses of the host that may be talked to."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)
        addresses = dict.fromkeys(ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in found)
        encrypted = parts.scheme == "https"
        return [one for one in addresses if may_talk_to(one, self._networks, encrypted=encrypted)][:MAX_ADDRESSES]

    async def _try(
        self, parts: SplitResult, addresses: Sequence[Address], headers: dict[str, str], body: bytes
    ) -> Outcome:
        for address in addresses[:-1]:
            try:
                return await self._post(parts, address, headers, body)
            except httpx.ConnectError:
                continue
        return await self._post(parts, addresses[-1], headers, body)

    async def _post(self, parts: SplitResult, address: Address, headers: dict[str, str], body: bytes) -> Outcome:
        host = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IP versions
        netloc = f"{host}:{parts.port}" if parts.port else host
        url = parts._replace(netloc=netloc, path=parts.path or "/").geturl()
        request = self._client.build_request(
            "POST", url, content=body, headers=headers, extensions={"sni_hostname": parts.hostname}
        )
        response = await self._client.send(request, stream=True)
        try:
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > MAX_ANSWER:
                    break
        finally:
            await response.aclose()
        if response.is_success:
            return Outcome()
        gone = response.status_code == HTTPStatus.GONE
        return Outcome(f"HTTP {response.status_code}", gone, _retry_after(response.headers.get("retry-after", "")))


def _retry_after(value: str) -> float:
    """Returns the seconds of a Retry-After header; 0 where there is none that can be read."""
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)
