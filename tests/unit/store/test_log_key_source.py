"""The log's keys in the environment: what is taken, and that nothing of it is ever shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from ledger.errors import SettingsError
from ledger.seal.note import COSIGNATURE, ED25519, SignerKey
from ledger.settings import Settings
from ledger.store.log_key_source import LogKeyVariable, log_keys_of
from ledger.store.log_keys import make_log_key, read_log_keys

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = (SignerKey("log.example/env", ED25519, bytes((seed,)) * 32) for seed in (1, 2))
WITNESS = SignerKey("log.example/env", COSIGNATURE, b"\x03" * 32)
OTHER = SignerKey("log.example/other", ED25519, b"\x04" * 32)


@pytest.mark.parametrize("text", [f"{OLD.export()},{NEW.export()}", f" {OLD.export()} \n\n# told\n{NEW.export()}\n"])
def test_keys_are_parted_by_commas_or_lines(text: str) -> None:
    keys = LogKeyVariable(text)
    assert keys.read() == (OLD, NEW)
    assert (keys.changed(), keys.changed()) == ((OLD, NEW), None)
    assert keys.retired() == ()
    assert not keys.is_unused(keys.read())


def test_verifier_keys_among_them_are_of_retired_ones() -> None:
    keys = LogKeyVariable(f"{OLD.verifier},{NEW.export()}")
    assert (keys.read(), keys.retired()) == ((NEW,), (OLD.verifier,))


@pytest.mark.parametrize(
    "text",
    [
        OLD.export()[:-1],
        f"{OLD.export()} {NEW.export()}",
        f"{OLD.export()},{OLD.export()}",
        f"{OLD.export()},{OLD.verifier}",
        f"{OLD.export()},{OTHER.export()}",
        f"{OLD.export()},{WITNESS.export()}",
        str(OLD.verifier),
        "# nothing",
        "canary",
    ],
)
def test_what_is_no_key_of_one_log_is_refused_and_not_told(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        LogKeyVariable(text).read()
    told = f"{raised.value!r} {raised.value.detail} {raised.value.help} {raised.value.__cause__!r}"
    assert "LEDGER_LOG_KEY" in told
    assert "canary" not in told
    assert OLD.export()[20:40] not in told


def test_environment_comes_before_the_file_and_nothing_of_it_is_shown(tmp_path: Path) -> None:
    make_log_key(tmp_path / "log.key", "log.example/file")
    without = Settings(home=tmp_path, log_key_file=tmp_path / "log.key")
    assert log_keys_of(without).read() == read_log_keys(tmp_path / "log.key")
    settings = without.model_copy(update={"log_key": SecretStr(OLD.export())})
    source = log_keys_of(settings)
    assert source.read() == (OLD,)
    for shown in (repr(settings), str(settings), repr(source), source.place):
        assert OLD.export()[30:] not in shown


def test_content_of_a_key_file_will_do(tmp_path: Path) -> None:
    make_log_key(tmp_path / "log.key", "log.example/file")
    assert LogKeyVariable((tmp_path / "log.key").read_text()).read() == read_log_keys(tmp_path / "log.key")
