"""Settings, read once from the environment (`LEDGER_*`); every one is documented in the README's table.

Without any of them the ledger starts an embedded PostgreSQL under `.ledger/` and makes its own keys there.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ledger.addresses import is_safe_url
from ledger.clock import school_calendar
from ledger.errors import SettingsError

_HTTP_URL = re.compile(r"https?://[^\s/]+(/\S*)?")
_SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,39}")


Network = IPv4Network | IPv6Network

SIGNING = frozenset({"Ed25519", "EdDSA", "ES256", "PS256", "RS256"})
"""What tokens may be signed with; `EdDSA` is the older name of `Ed25519` (RFC 9864). Nothing symmetric, and no none."""


def _names(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def _networks(text: str | None) -> tuple[Network, ...]:
    return tuple(ip_network(part.strip()) for part in (text or "").split(",") if part.strip())


class Settings(BaseSettings):
    """What an operator can set. Secrets never appear in a repr."""

    model_config = SettingsConfigDict(env_prefix="LEDGER_", env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path = Field(default=Path(".ledger"), description="Folder of the embedded database and of the keys.")
    database_url: SecretStr | None = Field(
        default=None, description="libpq URL of a PostgreSQL server; without it an embedded one is started."
    )
    db_schema: str = Field(default="ledger", description="Schema of this ledger in the database.")
    kek_file: Path | None = Field(
        default=None, description="File of the key-encryption keys; `<home>/keys/kek` without it."
    )
    kek: SecretStr | None = Field(
        default=None, description="The key-encryption keys themselves: `<epoch> <base64>`, several by commas."
    )
    token_key_file: Path | None = Field(
        default=None, description="Ed25519 key (PEM) that signs and checks tokens; `<home>/keys/token.pem` without it."
    )
    env: str = Field(
        default="development", description="`production` refuses the development tokens of `ledger token`."
    )
    oidc_issuer: str | None = Field(
        default=None, description="OpenID Connect provider whose access tokens are taken: its `iss`, to the letter."
    )
    oidc_audience: str = Field(default="ledger-api", description="This service's name in the `aud` of those tokens.")
    oidc_jwks: str | None = Field(
        default=None, description="URL or file of the provider's keys; its discovery document names it without."
    )
    oidc_algorithms: str = Field(
        default="Ed25519,EdDSA,ES256,PS256,RS256", description="With what those tokens may be signed."
    )
    oidc_skew_seconds: Annotated[int, Field(ge=0, le=300)] = Field(
        default=30, description="By how much the provider's clock may differ from ours."
    )
    oidc_refetch_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0, description="Between two looks for keys that tokens with an unknown key cause."
    )
    oidc_refresh_seconds: Annotated[float, Field(gt=0, le=86400)] = Field(
        default=600.0, description="After which the provider's keys are fetched anew in any case."
    )
    log_key_file: Path | None = Field(
        default=None, description="File of the keys that sign the log's checkpoints; `<home>/keys/log.key` without it."
    )
    log_key: SecretStr | None = Field(
        default=None,
        description="Those keys themselves, in place of the file; retired ones as verifier keys (docs/log.md).",
    )
    seal_file: Path | None = Field(
        default=None,
        description="The sealer's newest checkpoint, kept outside the database; `<home>/log/checkpoint` without it.",
    )
    witness_file: Path | None = Field(
        default=None, description="Witnesses of the log, one a line: `https://address verifier-key`."
    )
    witness_quorum: Annotated[int, Field(ge=0, le=32)] = Field(
        default=0, description="How many witnesses must vouch for a checkpoint before receipts are handed out for it."
    )
    host: str = Field(default="127.0.0.1", description="Address that the service listens on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(default=8000, description="Port that the service listens on.")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default=2, description="Processes that answer requests.")
    timezone: str = Field(default="Europe/Moscow", description="Time zone of the school's calendar day.")
    wait_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        default=5.0, description="How long a read waits for a view to reach `min_position`."
    )
    queue: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=20_000, description="Waiting commands of one process beyond which new ones are answered 503."
    )
    rate: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        default=2000.0, description="Requests per second of one client in one process; 0 sets no limit."
    )
    rate_strangers: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        default=50.0, description="The same of one address for requests without a valid token."
    )
    rate_public: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        default=500.0, description="The same of one address for the addresses of the log that need no token."
    )
    request_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=60.0, description="How long a request may take; bulk requests and streams have bounds of their own."
    )
    body_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=20.0, description="How long a client may take to send a body, or between two pieces of a bulk request."
    )
    require_sync_replica: bool = Field(
        default=False, description="Record only on a server that has a synchronous standby (see docs/failover.md)."
    )
    webhook_networks: str | None = Field(
        default=None,
        description="Networks besides the public ones that webhooks may lead to: `10.0.0.0/8,127.0.0.0/8`.",
    )
    patience_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0, description="How long commands wait for a database that went away."
    )
    pool_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=10.0, description="How long a read waits for a free connection to the database."
    )
    statement_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0,
        description="How long a statement may take in the database; twenty times that for the projector.",
    )
    grace_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=10.0, description="How long requests under way may take when the service stops."
    )
    require_if_match: bool = Field(
        default=False, description="Answer 428 to corrections and voidings that come without `If-Match`."
    )
    lag_limit: Annotated[int, Field(ge=0)] = Field(
        default=100_000, description="Events that a view may be behind before `/readyz` says 503; 0 is no limit."
    )
    log_level: str = Field(default="info", description="debug, info, warning or error.")
    log_format: str | None = Field(
        default=None, description="json or console; without it console on a terminal and json elsewhere."
    )

    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None, description="Port of `/metrics` for Prometheus; without it no metrics are served."
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address that `/metrics` listens on.")
    otlp_endpoint: str | None = Field(
        default=None, description="OpenTelemetry collector (OTLP over HTTP); without it nothing is traced."
    )

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            parts = conninfo_to_dict(value.get_secret_value() if value else "")
        except ProgrammingError:
            message = "use a libpq URL such as postgresql://login:password@host:5432/database"
            raise ValueError(message) from None  # the driver quotes what it could not read, password included
        if parts.get("target_session_attrs", "read-write") not in {"read-write", "primary"}:
            message = "set target_session_attrs=read-write or leave it out: nothing is recorded or read on a standby"
            raise ValueError(message)
        return value

    @field_validator("env")
    @classmethod
    def _check_env(cls, value: str) -> str:
        if value.lower() not in {"development", "production"}:
            message = "use development or production"
            raise ValueError(message)
        return value.lower()

    @field_validator("oidc_issuer")
    @classmethod
    def _check_issuer(cls, value: str | None) -> str | None:
        if value is not None and (not is_safe_url(value) or urlsplit(value).query):
            message = "use the issuer's https address, without a query (http serves this machine only)"
            raise ValueError(message)
        return value

    @field_validator("oidc_jwks")
    @classmethod
    def _check_jwks(cls, value: str | None) -> str | None:
        if value is not None and "://" in value and not is_safe_url(value):
            message = "use an https address (http serves this machine only) or a file"
            raise ValueError(message)
        return value

    @field_validator("oidc_audience")
    @classmethod
    def _check_audience(cls, value: str) -> str:
        if not value.isprintable() or not value.strip():
            message = "use the name that the provider writes into `aud`"
            raise ValueError(message)
        return value

    @field_validator("oidc_algorithms")
    @classmethod
    def _check_algorithms(cls, value: str) -> str:
        names = _names(value)
        if not names or not names <= SIGNING:
            message = f"use one or several, by commas, of {', '.join(sorted(SIGNING))}"
            raise ValueError(message)
        return value

    @field_validator("db_schema")
    @classmethod
    def _check_schema(cls, value: str) -> str:
        if not _SCHEMA.fullmatch(value):
            message = "use a letter a-z and then up to 39 letters, digits or underscores"
            raise ValueError(message)
        return value

    @field_validator("webhook_networks")
    @classmethod
    def _check_networks(cls, value: str | None) -> str | None:
        try:
            _networks(value)
        except ValueError as error:
            message = "use networks such as 10.0.0.0/8, several by commas"
            raise ValueError(message) from error
        return value

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, value: str) -> str:
        try:
            school_calendar(value)
        except SettingsError as error:
            message = "use an IANA name such as Europe/Moscow"
            raise ValueError(message) from error
        return value

    @field_validator("log_level")
    @classmethod
    def _check_log_level(cls, value: str) -> str:
        if value.lower() not in {"debug", "info", "warning", "error"}:
            message = "use debug, info, warning or error"
            raise ValueError(message)
        return value.lower()

    @field_validator("log_format")
    @classmethod
    def _check_log_format(cls, value: str | None) -> str | None:
        if value is not None and value.lower() not in {"json", "console"}:
            message = "use json or console"
            raise ValueError(message)
        return value.lower() if value else None

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_otlp_endpoint(cls, value: str | None) -> str | None:
        if value is not None and not _HTTP_URL.fullmatch(value):
            message = "use an address such as http://127.0.0.1:4318"
            raise ValueError(message)
        return value

    @property
    def networks(self) -> tuple[Network, ...]:
        """Networks that webhooks may lead to although they are not public."""
        return _networks(self.webhook_networks)

    @property
    def signing(self) -> frozenset[str]:
        """Algorithms with which a provider's tokens may be signed."""
        return _names(self.oidc_algorithms)

    @property
    def production(self) -> bool:
        """Whether real people's data are in it, so that tokens come from a provider alone."""
        return self.env == "production"

    @property
    def kek_path(self) -> Path:
        """Where the key-encryption keys are read from when they are not in the environment."""
        return self.kek_file or self.home / "keys" / "kek"

    @property
    def log_key_path(self) -> Path:
        """Where the log's signing keys are read from when they are not in the environment."""
        return self.log_key_file or self.home / "keys" / "log.key"

    @property
    def seal_path(self) -> Path:
        """Where the sealer keeps its newest checkpoint."""
        return self.seal_file or self.home / "log" / "checkpoint"

    @property
    def token_key_path(self) -> Path:
        """Where the token key is read from."""
        return self.token_key_file or self.home / "keys" / "token.pem"


def read_settings() -> Settings:
    """Returns the settings of the environment.

    Raises:
        SettingsError: a variable cannot be used; every one is named, its value is not.
    """
    try:
        return Settings()
    except ValidationError as error:
        named = "; ".join(
            f"LEDGER_{'_'.join(str(part) for part in problem['loc']).upper()}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False)
        )
        raise SettingsError(
            f"A setting cannot be used: {named}.", help="Correct it, or unset it for the default."
        ) from None
