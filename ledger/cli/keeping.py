"""Commands of the operator: tokens, keys, migrations, starting over."""

from __future__ import annotations

import shutil
from datetime import timedelta
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from ledger.api.tokens import check_development, issue_token, load_token_key, make_token_key
from ledger.bootstrap import database_of, read_keks
from ledger.cli.options import ActorOption
from ledger.cli.session import opened, operator_id
from ledger.errors import Conflict, InvalidInput, SettingsError
from ledger.policy.offices import Actor, Office
from ledger.settings import read_settings
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.keyring import KeyEncryptionKeys
from ledger.store.log_keys import make_log_key, new_log_key
from ledger.store.migrate import migrate as apply_migrations
from ledger.store.secrets import ensure_secrets
from ledger.telemetry.logs import configure

if TYPE_CHECKING:
    from ledger.settings import Settings

MAX_HOURS = 24 * 366


def token(
    office: Annotated[Office, typer.Option(help="In which office the bearer acts.")],
    actor: ActorOption = None,
    student: Annotated[
        list[UUID] | None,
        typer.Option(help="Whom a student or representative speaks for; may be repeated.", metavar="UUID"),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=MAX_HOURS, help="How long it is valid.")] = 12,
) -> None:
    """Print a signed development token for the API, and nothing else; refused where LEDGER_ENV=production."""
    check_development(read_settings())
    with opened(making=True) as base:
        bearer = Actor(actor or operator_id(base.settings), office, frozenset(student or ()))
        signed = issue_token(load_token_key(base.settings), base.id, bearer, lifetime=timedelta(hours=hours))
    typer.echo(signed)


def keygen(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="Where it goes; without it where the settings look for it. With --log: - prints it."
        ),
    ] = None,
    for_tokens: Annotated[
        bool, typer.Option("--token", help="Make the key that signs tokens instead of the key-encryption key.")
    ] = False,
    for_log: Annotated[
        bool, typer.Option("--log", help="Make the key that signs the log's checkpoints instead.")
    ] = False,
    origin: Annotated[
        str | None, typer.Option(help="With --log: the log's name for ever, such as `school.example/ledger`.")
    ] = None,
) -> None:
    """Make a key-encryption key (or the key that signs tokens or the log); never overwrites one."""
    settings = read_settings()
    if for_tokens and for_log:
        raise InvalidInput("One key at a time.", help="Use either --token or --log.")
    if for_log != (origin is not None):
        raise InvalidInput("A log's key has a name.", help="Give --log and --origin NAME together.")
    if file == Path("-"):
        if origin is None:
            raise InvalidInput("Only a log's key is printed.", help="Name a file, or give --log and --origin NAME.")
        if "," in origin:
            raise InvalidInput("In LEDGER_LOG_KEY keys are parted by commas.", help="Give the log a name without one.")
        key = new_log_key(origin)
        typer.echo(key.export())
        typer.echo(
            "A new key that signs the log was printed, for LEDGER_LOG_KEY. Keep a copy apart from the database."
            f"\nIts verifier key: {key.verifier}",
            err=True,
        )
        return
    path = file or (settings.log_key_path if for_log else settings.token_key_path if for_tokens else settings.kek_path)
    what = "key that signs the log" if for_log else "key that signs tokens" if for_tokens else "key-encryption key"
    if path.exists():
        raise Conflict(f"{path} exists.", help="A key is never overwritten; name another file.")
    try:
        if origin is not None:
            make_log_key(path, origin)
        elif for_tokens:
            make_token_key(path)
        else:
            KeyEncryptionKeys.generate(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror}).", help="Name another file.") from error
    typer.echo(f"A new {what} was written to {path}. Keep a copy apart from the database.")


def migrate() -> None:
    """Bring the database up to date, as its owner; makes the ledger on the first run."""
    settings = read_settings()
    configure(settings.log_level, settings.log_format)
    with database_of(settings) as database:
        keks = read_keks(settings, database)
        applied = apply_migrations(database)
        ensure_secrets(database, keks)
    typer.echo(f"Applied migrations: {', '.join(map(str, applied))}." if applied else "Nothing to apply.")


def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete the embedded database of LEDGER_HOME and its keys, to start over."""
    settings = read_settings()
    if settings.database_url is not None:
        raise SettingsError(
            "LEDGER_DATABASE_URL is set, and a database on a server is never deleted from here.",
            help="Unset it to delete the embedded database, or drop the schema yourself.",
        )
    home = settings.home
    if not home.is_dir():
        typer.echo(f"Ничего нет. / There is nothing in {home}.")
        return
    if not yes:
        typer.confirm(f"Delete the ledger in {home} with its keys? It cannot be brought back.", abort=True)
    EmbeddedPostgres(home).remove()
    _remove_keys(settings)
    typer.echo(f"Удалено / the ledger in {home} was deleted.")


def _remove_keys(settings: Settings) -> None:
    """Removes what the ledger itself put into its home; a key that was named elsewhere is left alone."""
    keys = settings.home / "keys"
    for name in ("kek", "token.pem", "log.key", "log.key.next", "log.key.retired"):
        (keys / name).unlink(missing_ok=True)
    for mark in keys.glob("log.key.*.unused"):
        mark.unlink()
    if keys.is_dir() and not any(keys.iterdir()):
        keys.rmdir()
    for folder in ("operators", "log"):
        if (settings.home / folder).is_dir():
            shutil.rmtree(settings.home / folder)


def version() -> None:
    """Print the version."""
    typer.echo(f"ledger {installed_version('ledger')}")
