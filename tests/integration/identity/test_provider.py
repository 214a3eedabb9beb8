"""A provider's keys over a real connection: found, rotated, kept while it is away, never from elsewhere."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import RSAKey

from ledger.identity import provider as module
from ledger.identity.provider import DISCOVERY, Provider, ProviderAway, fetch_keys
from tests.support.provider import Issuer, jwk, published
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    with published(made):
        yield made


@asynccontextmanager
async def looking(
    issuer: Issuer, *, refetch_s: float = 3600, refresh_s: float = 3600, where: str | None = None
) -> AsyncIterator[Provider]:
    provider = Provider(issuer.issuer, where, refetch_s=refetch_s, refresh_s=refresh_s)
    try:
        yield provider
    finally:
        await provider.__aexit__(None, None, None)


async def test_keys_are_found_through_discovery(issuer: Issuer) -> None:
    assert set(await fetch_keys(issuer.issuer, None)) == {"one"}
    assert issuer.asked == [DISCOVERY, "/keys"]


async def test_address_of_the_keys_may_be_given(issuer: Issuer) -> None:
    assert set(await fetch_keys("https://elsewhere.example", f"{issuer.issuer}/keys")) == {"one"}
    assert issuer.asked == ["/keys"]


async def test_keys_may_stand_in_a_file(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(issuer.key_set())
    async with looking(issuer, where=str(file), refetch_s=1e-9) as provider:
        await provider.key_for("one")
        issuer.rotate("two")
        file.write_bytes(issuer.key_set())
        await provider.key_for("two")
        assert set(provider.keys) == {"two"}
    with pytest.raises(ProviderAway, match="cannot be read"):
        await fetch_keys(issuer.issuer, str(tmp_path / "none"))
    assert issuer.asked == []


async def test_new_key_is_looked_up_when_a_token_names_it_and_the_old_one_is_gone(issuer: Issuer) -> None:
    async with looking(issuer, refetch_s=1e-9) as provider:
        await provider.key_for("one")
        before = provider.generation
        issuer.rotate("two")
        await provider.key_for("two")
        assert set(provider.keys) == {"two"}
        assert provider.generation == before + 1


async def test_unknown_keys_cause_one_look_in_the_time_however_many_come(issuer: Issuer) -> None:
    async with looking(issuer) as provider:
        await asyncio.gather(*(provider.key_for(f"unknown-{number}") for number in range(50)))
        for number in range(50):
            await provider.key_for(f"another-{number}")
        assert issuer.asked == [DISCOVERY, "/keys"]


async def test_key_that_was_taken_back_is_gone_in_time_although_nobody_asks_for_any(issuer: Issuer) -> None:
    """A thief sends a new token each time: what is remembered of tokens must not be what makes us look."""
    async with Provider(issuer.issuer, None, refetch_s=3600, refresh_s=0.01) as provider:
        await until(lambda: set(provider.keys) == {"one"})
        issuer.rotate("two")
        await until(lambda: set(provider.keys) == {"two"})
        issuer.answers["/keys"] = BROKEN["no answer"]
        await until(lambda: provider.failing)
        assert set(provider.keys) == {"two"}


async def test_look_that_failed_is_repeated_sooner(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    issuer.answers["/keys"] = BROKEN["no answer"]
    async with Provider(issuer.issuer, None, refetch_s=0.01, refresh_s=3600) as provider:
        await until(lambda: provider.failing)
        issuer.answers.clear()
        await until(lambda: set(provider.keys) == {"one"})


BROKEN = {
    "no answer": (500, {}, b""),
    "no list": (200, {}, b'{"keys": {}}'),
    "no JSON": (200, {}, b"<html>"),
    "a redirect": (302, {"Location": "/other"}, b""),
    "a redirect elsewhere": (302, {"Location": "http://127.0.0.2:1/keys"}, b""),
    "too much": (200, {}, b" " * (module.MAX_ANSWER + 1)),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_keys_that_we_have_stay_while_the_provider_cannot_be_used(issuer: Issuer, fault: str) -> None:
    async with looking(issuer, refetch_s=1e-9) as provider:
        await provider.look()
        issuer.answers["/keys"] = BROKEN[fault]
        issuer.answers["/other"] = (200, {}, issuer.key_set())
        await provider.key_for("two")
        assert (set(provider.keys), provider.failing) == ({"one"}, True)
        assert "/other" not in issuer.asked
        issuer.answers.clear()
        issuer.rotate("two")
        await provider.look()
        assert (set(provider.keys), provider.failing) == ({"two"}, False)


async def test_provider_that_takes_all_keys_back_leaves_none(issuer: Issuer) -> None:
    async with looking(issuer) as provider:
        await provider.look()
        for taken_back in (b'{"keys": []}', b'{"keys": [{"kty": "oct", "kid": "one"}]}'):
            before = provider.generation
            issuer.answers["/keys"] = (200, {}, taken_back)
            await provider.look()
            assert (dict(provider.keys), provider.failing, provider.generation) == ({}, False, before + 1)
            issuer.answers.clear()
            await provider.look()
            assert set(provider.keys) == {"one"}


async def test_algorithm_that_a_key_may_not_serve_any_more_is_gone(issuer: Issuer) -> None:
    key = RSAKey.generate_key(2048)
    issuer.keys = {"one": (key, "RS256")}
    async with looking(issuer) as provider:
        await provider.look()
        before = provider.generation
        issuer.answers["/keys"] = (200, {}, json.dumps({"keys": [jwk(key, "one", alg="PS256")]}).encode())
        await provider.look()
        assert provider.keys["one"].algorithms == {"PS256"}
        assert provider.generation == before + 1
        await provider.look()
        assert provider.generation == before + 1


async def test_provider_that_is_away_at_the_start_is_asked_again(issuer: Issuer) -> None:
    issuer.answers[DISCOVERY] = (503, {}, b"")
    async with looking(issuer, refetch_s=1e-9) as provider:
        await provider.key_for("one")
        assert not provider.keys
        issuer.answers.clear()
        await provider.key_for("one")
        assert set(provider.keys) == {"one"}


async def test_provider_that_does_not_listen_is_away() -> None:
    issuer = Issuer()
    with published(issuer):
        pass
    with pytest.raises(ProviderAway, match="ConnectError"):
        await fetch_keys(issuer.issuer, None)


async def test_provider_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    server = await asyncio.start_server(lambda _, __: asyncio.sleep(3600), "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ProviderAway, match="Timeout"):
            await fetch_keys(f"http://127.0.0.1:{port}", None)
    finally:
        server.close()


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"issuer": "https://attacker.example", "jwks_uri": "https://attacker.example/keys"}, "another issuer"),
        ({"jwks_uri": "https://attacker.example/keys"}, "another issuer"),
        ({"issuer": "OURS"}, "no https address"),
        ({"issuer": "OURS", "jwks_uri": 5}, "no https address"),
        ({"issuer": "OURS", "jwks_uri": "http://attacker.example/keys"}, "no https address"),
        ({"issuer": "OURS", "jwks_uri": "file:///etc/passwd"}, "no https address"),
        ({"issuer": "OURS", "jwks_uri": "https://999.1.1.1/keys"}, "cannot be used"),
        ({"issuer": "OURS", "jwks_uri": "https://xn--0.example/keys"}, "cannot be used"),
        ({"issuer": "OURS", "jwks_uri": f"https://keys.example/{'a' * 70_000}"}, "cannot be used"),
        ([], "not a JSON object"),
    ],
)
async def test_discovery_document_that_leads_astray_is_not_followed(issuer: Issuer, document: object, why: str) -> None:
    text = json.dumps(document).replace("OURS", issuer.issuer)
    issuer.answers[DISCOVERY] = (200, {}, text.encode())
    with pytest.raises(ProviderAway, match=why):
        await fetch_keys(issuer.issuer, None)
    assert issuer.asked == [DISCOVERY]
