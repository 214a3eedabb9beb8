"""Token keys and the memory of verified tokens; forged tokens are sent over HTTP in the end-to-end tests."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from joserfc.jwk import ECKey, OKPKey
from pydantic import SecretStr

from ledger.api.tokens import TokenVerifier, issue_token, load_token_key, make_token_key, verifier_of
from ledger.errors import InvalidInput, SettingsError, Unauthenticated
from ledger.identity.compact import Malformed, canonical
from ledger.policy.offices import Actor, Office
from ledger.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2025, 10, 15, 9, 30, tzinfo=UTC)
LEDGER = uuid4()
KEY = OKPKey.generate_key("Ed25519")


def an_actor(office: Office = Office.TEACHER) -> Actor:
    return Actor(uuid4(), office)


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.mark.parametrize("office", sorted(set(Office) - {Office.STUDENT, Office.REPRESENTATIVE}))
def test_issued_token_tells_the_actor(office: Office) -> None:
    actor = an_actor(office)
    token = issue_token(KEY, LEDGER, actor, now=NOW)
    assert TokenVerifier(KEY, LEDGER, clock=Clock()).verify(token) == actor


def test_representative_speaks_for_the_students_named() -> None:
    actor = Actor(uuid4(), Office.REPRESENTATIVE, frozenset({uuid4(), uuid4()}))
    token = issue_token(KEY, LEDGER, actor, now=NOW)
    assert TokenVerifier(KEY, LEDGER, clock=Clock()).verify(token) == actor


@pytest.mark.parametrize(
    "actor",
    [
        Actor(uuid4(), Office.STUDENT),
        Actor(uuid4(), Office.DIRECTOR, frozenset({uuid4()})),
        Actor(uuid4(), Office.REPRESENTATIVE, frozenset(uuid4() for _ in range(51))),
    ],
)
def test_token_that_could_not_be_read_back_is_not_issued(actor: Actor) -> None:
    with pytest.raises(InvalidInput):
        issue_token(KEY, LEDGER, actor)


def test_token_expires_whether_it_was_seen_before_or_not() -> None:
    clock = Clock()
    verifier = TokenVerifier(KEY, LEDGER, clock=clock)
    token = issue_token(KEY, LEDGER, an_actor(), lifetime=timedelta(minutes=5), now=NOW)
    verifier.verify(token)
    assert len(verifier) == 1
    clock.now = NOW + timedelta(minutes=4, seconds=59)
    verifier.verify(token)
    clock.now = NOW + timedelta(minutes=5)
    with pytest.raises(Unauthenticated):
        verifier.verify(token)
    assert len(verifier) == 0
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def test_clock_of_the_issuer_may_run_a_little_ahead() -> None:
    verifier = TokenVerifier(KEY, LEDGER, clock=Clock())
    verifier.verify(issue_token(KEY, LEDGER, an_actor(), now=NOW + timedelta(seconds=30)))
    with pytest.raises(Unauthenticated):
        verifier.verify(issue_token(KEY, LEDGER, an_actor(), now=NOW + timedelta(seconds=32)))


def test_memory_of_verified_tokens_is_bounded_and_refusals_are_not_in_it() -> None:
    verifier = TokenVerifier(KEY, LEDGER, clock=Clock(), cached=2)
    tokens = [issue_token(KEY, LEDGER, an_actor(), now=NOW) for _ in range(3)]
    for token in tokens:
        verifier.verify(token)
    with pytest.raises(Unauthenticated):
        verifier.verify(tokens[0] + "A")
    assert len(verifier) == 2
    verifier.verify(tokens[0])


def test_embedded_ledger_makes_its_key_once_and_keeps_it_private(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    key = load_token_key(settings)
    assert stat.S_IMODE(settings.token_key_path.stat().st_mode) == 0o600
    assert load_token_key(settings).thumbprint() == key.thumbprint()
    assert [path.name for path in settings.token_key_path.parent.iterdir()] == ["token.pem"]


def test_processes_that_start_at_once_use_one_key(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        prints = set(pool.map(lambda _: load_token_key(settings).thumbprint(), range(16)))
    assert len(prints) == 1
    path = tmp_path / "keys" / "token.pem"
    before = path.read_bytes()
    make_token_key(path)
    assert path.read_bytes() == before


def test_ledger_on_a_server_wants_its_key_given(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr("postgresql:///none"))
    with pytest.raises(SettingsError, match="does not exist"):
        load_token_key(settings)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        ECKey.generate_key("P-256").as_pem(private=True),
        OKPKey.generate_key("X25519").as_pem(private=True),
        KEY.as_pem(private=False),
    ],
    ids=["nothing", "nonsense", "another curve", "another use", "public"],
)
def test_file_that_is_no_ed25519_private_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token.pem"
    path.write_bytes(content)
    with pytest.raises(SettingsError):
        load_token_key(Settings(home=tmp_path, token_key_file=path))


def test_base64url_has_one_spelling_before_any_library_sees_it() -> None:
    assert canonical("AA") == b"\x00"
    for other in ("AB", "AA==", "A", "A+A", "A A", "", "АА"):
        with pytest.raises(Malformed):
            canonical(other)


def test_production_takes_no_development_tokens_and_wants_a_provider(tmp_path: Path) -> None:
    assert verifier_of(Settings(home=tmp_path), LEDGER) is not None
    with pytest.raises(SettingsError, match="no identity provider is named"):
        verifier_of(Settings(home=tmp_path, env="production"), LEDGER)
    named = Settings(home=tmp_path / "other", env="production", oidc_issuer="https://id.school.example")
    assert verifier_of(named, LEDGER) is None
    assert not named.token_key_path.exists()
