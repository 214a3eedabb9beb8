"""Settings: defaults, and a clear error that names the variable and never its value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.errors import SettingsError
from ledger.settings import Settings, read_settings

DATABASE = "postgresql://owner:canary-password@localhost/ledger"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("LEDGER_"):
            monkeypatch.delenv(name)


def test_defaults_need_nothing_but_a_folder() -> None:
    settings = read_settings()
    assert settings.home == Path(".ledger")
    assert (settings.database_url, settings.kek, settings.kek_file, settings.token_key_file) == (None,) * 4
    assert (settings.db_schema, settings.host, settings.port, settings.workers) == ("ledger", "127.0.0.1", 8000, 2)
    assert (settings.timezone, settings.wait_seconds, settings.queue) == ("Europe/Moscow", 5.0, 20_000)
    assert (settings.log_level, settings.log_format) == ("info", None)
    assert (settings.metrics_port, settings.metrics_host, settings.otlp_endpoint) == (None, "127.0.0.1", None)
    assert settings.kek_path == Path(".ledger/keys/kek")
    assert settings.token_key_path == Path(".ledger/keys/token.pem")


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("LEDGER_HOME", "/srv/ledger", "home", Path("/srv/ledger")),
        ("LEDGER_DB_SCHEMA", "school_12", "db_schema", "school_12"),
        ("LEDGER_DB_SCHEMA", "a" * 40, "db_schema", "a" * 40),
        ("LEDGER_KEK_FILE", "/keys/kek", "kek_path", Path("/keys/kek")),
        ("LEDGER_TOKEN_KEY_FILE", "/keys/token", "token_key_path", Path("/keys/token")),
        ("LEDGER_ENV", "PRODUCTION", "env", "production"),
        (
            "LEDGER_OIDC_ISSUER",
            "https://id.school.example/realms/a",
            "oidc_issuer",
            "https://id.school.example/realms/a",
        ),
        ("LEDGER_OIDC_ISSUER", "http://127.0.0.1:8080", "oidc_issuer", "http://127.0.0.1:8080"),
        ("LEDGER_OIDC_AUDIENCE", "реестр", "oidc_audience", "реестр"),
        ("LEDGER_OIDC_JWKS", "/keys/provider.json", "oidc_jwks", "/keys/provider.json"),
        ("LEDGER_OIDC_ALGORITHMS", "ES256, Ed25519", "signing", frozenset({"ES256", "Ed25519"})),
        ("LEDGER_OIDC_SKEW_SECONDS", "0", "oidc_skew_seconds", 0),
        ("LEDGER_HOST", "0.0.0.0", "host", "0.0.0.0"),  # noqa: S104 - a setting that is read, not an address bound
        ("LEDGER_PORT", "0", "port", 0),
        ("LEDGER_PORT", "65535", "port", 65535),
        ("LEDGER_WORKERS", "64", "workers", 64),
        ("LEDGER_TIMEZONE", "Asia/Vladivostok", "timezone", "Asia/Vladivostok"),
        ("LEDGER_WAIT_SECONDS", "0", "wait_seconds", 0.0),
        ("LEDGER_QUEUE", "1", "queue", 1),
        ("LEDGER_RATE", "0", "rate", 0.0),
        ("LEDGER_RATE_STRANGERS", "0.5", "rate_strangers", 0.5),
        ("LEDGER_RATE_PUBLIC", "0", "rate_public", 0.0),
        ("LEDGER_REQUEST_SECONDS", "5", "request_seconds", 5.0),
        ("LEDGER_BODY_SECONDS", "0.1", "body_seconds", 0.1),
        ("LEDGER_PATIENCE_SECONDS", "60", "patience_seconds", 60.0),
        ("LEDGER_POOL_SECONDS", "1", "pool_seconds", 1.0),
        ("LEDGER_STATEMENT_SECONDS", "3600", "statement_seconds", 3600.0),
        ("LEDGER_GRACE_SECONDS", "30", "grace_seconds", 30.0),
        ("LEDGER_LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("LEDGER_LOG_FORMAT", "JSON", "log_format", "json"),
        ("LEDGER_METRICS_PORT", "0", "metrics_port", 0),
        ("LEDGER_OTLP_ENDPOINT", "https://otlp.test:4318", "otlp_endpoint", "https://otlp.test:4318"),
    ],
)
def test_setting_is_read_from_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(read_settings(), field) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEDGER_DATABASE_URL", "canary"),
        ("LEDGER_DATABASE_URL", "postgresql://owner:canary%zz@localhost/ledger"),
        ("LEDGER_PORT", "canary"),
        ("LEDGER_PORT", "-1"),
        ("LEDGER_PORT", "65536"),
        ("LEDGER_PORT", "80.5"),
        ("LEDGER_WORKERS", "0"),
        ("LEDGER_WORKERS", "65"),
        ("LEDGER_WORKERS", "canary"),
        ("LEDGER_WAIT_SECONDS", "-0.5"),
        ("LEDGER_WAIT_SECONDS", "60.5"),
        ("LEDGER_WAIT_SECONDS", "nan"),
        ("LEDGER_WAIT_SECONDS", "inf"),
        ("LEDGER_WAIT_SECONDS", "canary"),
        ("LEDGER_QUEUE", "0"),
        ("LEDGER_QUEUE", "1000001"),
        ("LEDGER_QUEUE", "canary"),
        ("LEDGER_DB_SCHEMA", "Canary"),
        ("LEDGER_DB_SCHEMA", "1canary"),
        ("LEDGER_DB_SCHEMA", "canary; DROP TABLE events"),
        ("LEDGER_DB_SCHEMA", "canary\n"),
        ("LEDGER_DB_SCHEMA", "школа"),
        ("LEDGER_DB_SCHEMA", "a" * 41),
        ("LEDGER_LOG_LEVEL", "canary"),
        ("LEDGER_LOG_FORMAT", "canary"),
        ("LEDGER_METRICS_PORT", "65536"),
        ("LEDGER_OTLP_ENDPOINT", "canary:4317"),
        ("LEDGER_ENV", "canary"),
        ("LEDGER_OIDC_ISSUER", "id.canary.example"),
        ("LEDGER_OIDC_ISSUER", "http://id.canary.example"),
        ("LEDGER_OIDC_ISSUER", "https://canary:secret@id.school.example"),
        ("LEDGER_OIDC_ISSUER", "https://id.canary.example?realm=1"),
        ("LEDGER_OIDC_ISSUER", "https://id.canary.example#a"),
        ("LEDGER_OIDC_ISSUER", "https://id.canary.example:0"),
        ("LEDGER_OIDC_ISSUER", "file:///canary/keys"),
        ("LEDGER_OIDC_JWKS", "http://id.canary.example/keys"),
        ("LEDGER_OIDC_JWKS", "ftp://id.canary.example/keys"),
        ("LEDGER_OIDC_AUDIENCE", "canary\x07"),
        ("LEDGER_OIDC_ALGORITHMS", "HS256"),
        ("LEDGER_OIDC_ALGORITHMS", "ES256,none"),
        ("LEDGER_OIDC_ALGORITHMS", ", ,"),
        ("LEDGER_OIDC_SKEW_SECONDS", "301"),
        ("LEDGER_OIDC_REFETCH_SECONDS", "0"),
        ("LEDGER_OIDC_REFRESH_SECONDS", "nan"),
        ("LEDGER_TIMEZONE", "Europe/Canary"),
        ("LEDGER_TIMEZONE", "../../etc/canary"),
        ("LEDGER_TIMEZONE", "America"),
        ("LEDGER_TIMEZONE", "x" * 400),
    ],
)
def test_bad_setting_is_named_and_its_value_is_not(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    message = str(caught.value)
    assert f"{name}:" in message
    if len(value) > 4:  # shorter ones occur in any text
        assert value.strip() not in message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_every_bad_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_PORT", "canary")
    monkeypatch.setenv("LEDGER_QUEUE", "canary")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "LEDGER_PORT" in caught.value.detail
    assert "LEDGER_QUEUE" in caught.value.detail


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    default = getattr(read_settings(), field)
    monkeypatch.setenv(f"LEDGER_{field.upper()}", "")
    assert getattr(read_settings(), field) == default


def test_secrets_appear_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_DATABASE_URL", DATABASE)
    monkeypatch.setenv("LEDGER_KEK", "1 canary-key")
    settings = read_settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == DATABASE
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "canary" not in text


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings().port = 1


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description."
