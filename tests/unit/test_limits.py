"""Token buckets: what is told is what is done."""

from __future__ import annotations

import math
import re
from contextlib import ExitStack
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.api import limits, stream
from ledger.api.calls import read_form
from ledger.api.limits import BURST_S, Limit, Standing, TooManyRequests, network_of
from ledger.api.problems import MAX_ERRORS, InvalidFields
from ledger.api.schemas.marks import NewMark
from ledger.api.stream import Streams
from ledger.errors import Busy


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def tried(limit: Limit) -> tuple[Standing | None, TooManyRequests | None]:
    try:
        return limit.spend("one"), None
    except TooManyRequests as refused:
        return None, refused


@given(
    rate=st.floats(0.05, 50),
    pauses=st.lists(st.one_of(st.just(0.0), st.floats(0, 30)), min_size=1, max_size=60),
)
def test_nobody_gets_more_than_the_burst_and_the_rate_and_nobody_less(rate: float, pauses: list[float]) -> None:
    clock = Clock()
    limit = Limit("client", rate, clock=clock)
    burst = max(1.0, rate * BURST_S)
    begin = clock.now
    for granted, pause in enumerate(pauses, 1):
        clock.now += pause
        standing, refused = tried(limit)
        if refused is not None:
            assert refused.standing.remaining == 0
            assert refused.retry_s >= 1
            clock.now += refused.retry_s
            standing = limit.spend("one")  # what Retry-After promises holds
        assert standing is not None
        assert 0 <= standing.remaining <= standing.quota == math.floor(burst)
        assert granted <= burst + (clock.now - begin) * rate + 1e-6
    clock.now += BURST_S / min(1.0, rate) + 1
    for _ in range(math.floor(burst)):
        limit.spend("one")


def test_each_has_a_bucket_and_zero_is_no_limit() -> None:
    clock = Clock()
    limit = Limit("client", 0.1, clock=clock)
    assert limit.spend("one") is not None
    assert limit.spend("other") is not None
    with pytest.raises(TooManyRequests):
        limit.spend("one")
    free = Limit("client", 0, clock=clock)
    assert [free.spend("one") for _ in range(1000)] == [None] * 1000
    free.owe("one", 5)


def test_debt_is_paid_before_the_next_request() -> None:
    clock = Clock()
    limit = Limit("client", 1, clock=clock)
    limit.spend("one")
    limit.owe("one", 100)
    with pytest.raises(TooManyRequests) as refused:
        limit.spend("one")
    assert refused.value.retry_s == 92
    clock.now += 92
    limit.spend("one")


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED", 3)
    limit = Limit("address", 0.1, clock=Clock())
    for stranger in range(100):
        limit.spend(stranger)
    assert len(limit._buckets) == 3


def test_standing_is_told_in_structured_fields() -> None:
    standing = Limit("client", 2, clock=Clock()).spend("one")
    assert standing is not None
    assert standing.headers() == {"RateLimit-Policy": '"client";q=20;w=10', "RateLimit": '"client";r=19;t=1'}
    assert all(re.fullmatch(r'"[a-z]+"(;[a-z]=\d+)+', value) for value in standing.headers().values())


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("a socket", "a socket"),
    ],
)
def test_ipv6_strangers_count_by_their_network(host: str, network: str) -> None:
    assert network_of(host) == network


def test_one_client_takes_no_streams_of_the_others() -> None:
    streams, one, other = Streams(), uuid4(), uuid4()
    with ExitStack() as held:
        for _ in range(stream.MAX_OF_ONE):
            streams.check(one)
            held.enter_context(streams.held(one))
        with pytest.raises(Busy):
            streams.check(one)
        with pytest.raises(Busy):  # whoever asked before these were open, and reads its first page still
            held.enter_context(streams.held(one))
        streams.check(other)
        assert streams.open == stream.MAX_OF_ONE
    streams.check(one)
    assert streams.open == 0


def test_problem_names_the_first_of_very_many_wrong_fields() -> None:
    body = msgspec.json.encode({f"field{number}": 0 for number in range(20_000)})
    with pytest.raises(InvalidFields, match=r"and 20\d\d\d more") as caught:
        read_form(NewMark, body)
    assert len(caught.value.fields) == MAX_ERRORS
