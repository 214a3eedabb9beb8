"""How often somebody may ask: a token bucket for each client, and for each address without a token that says who asks.

The buckets are this process's own: with N workers a client may ask N times as often. That keeps them free (no round
trip, nothing stored), and what they are for is one client that runs wild, not an exact quota.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from ledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

BURST_S = 10.0
"""Seconds of its rate that a client may use at once."""
REMEMBERED = 10_000
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Standing:
    """How a client stands with a limit, for the fields of draft-ietf-httpapi-ratelimit-headers.

    Args:
        policy: the limit's name.
        quota: requests that may come at once, in a window of `window_s` seconds.
        remaining: how many of them are left.
        reset_s: seconds until all are there again.
    """

    policy: str
    quota: int
    window_s: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """Returns `RateLimit-Policy` and `RateLimit` (structured fields, RFC 9651)."""
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.quota};w={self.window_s}',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={self.reset_s}',
        }


class TooManyRequests(LedgerError):
    """The client asks more often than it may; nothing was done.

    Args:
        standing: what the client is told of its limit.
        retry_s: seconds after which the next request is answered.
    """

    code = "too-many-requests"

    def __init__(self, standing: Standing, retry_s: int) -> None:
        super().__init__(
            "You are asking more often than this service answers.",
            help="Wait as many seconds as Retry-After says; repeat commands with the same key, or send many in one "
            "POST /v1/bulk.",
        )
        self.standing = standing
        self.retry_s = retry_s


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Limit:
    """Token buckets of one kind, by whose they are; the ones used least recently are forgotten, and so full again.

    Args:
        policy: the limit's name.
        rate: requests per second; 0 sets no limit.
    """

    def __init__(self, policy: str, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._rate = rate
        self._full = max(1.0, rate * BURST_S)
        self._clock = clock
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def spend(self, whose: Hashable) -> Standing | None:
        """Takes a request's token and returns what is left; None where there is no limit.

        Raises:
            TooManyRequests: there is none.
        """
        if not self._rate:
            return None
        bucket = self._bucket(whose)
        if bucket.tokens < 1 - _ROUNDING:
            raise self._refusal(bucket)
        bucket.tokens -= 1
        return self._standing(bucket)

    def check(self, whose: Hashable) -> None:
        """Passes if a request's token is there, and takes none.

        Raises:
            TooManyRequests: there is none.
        """
        if self._rate:
            bucket = self._bucket(whose)
            if bucket.tokens < 1 - _ROUNDING:
                raise self._refusal(bucket)

    def owe(self, whose: Hashable, tokens: float) -> None:
        """Takes tokens that are paid later, if there are not enough."""
        if self._rate:
            self._bucket(whose).tokens -= tokens

    def _bucket(self, whose: Hashable) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(whose)
        if bucket is None:
            bucket = self._buckets[whose] = _Bucket(self._full, now)
            if len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(whose)
            bucket.tokens = min(self._full, bucket.tokens + (now - bucket.at) * self._rate)
            bucket.at = now
        return bucket

    def _refusal(self, bucket: _Bucket) -> TooManyRequests:
        return TooManyRequests(self._standing(bucket), max(1, math.ceil((1 - bucket.tokens) / self._rate)))

    def _standing(self, bucket: _Bucket) -> Standing:
        missing = (self._full - bucket.tokens) / self._rate
        left = max(0, math.floor(bucket.tokens))
        return Standing(self._policy, math.floor(self._full), math.ceil(BURST_S), left, math.ceil(missing))


class Limits:
    """The limits of one process: `clients` by actor, `strangers` and what is `public` by address."""

    def __init__(self, rate: float, rate_strangers: float, rate_public: float) -> None:
        self.clients = Limit("client", rate)
        self.strangers = Limit("address", rate_strangers)
        self.public = Limit("public", rate_public)


def network_of(host: str) -> str:
    """Returns the address that counts as one stranger: of IPv6 the network, within which anybody has many."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)
