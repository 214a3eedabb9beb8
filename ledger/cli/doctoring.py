"""`ledger doctor`: everything that a ledger needs, looked at; exit 1 names what is wrong and what to do."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from rich.table import Table

from ledger.api.tokens import check_identity, load_token_key
from ledger.application.doctor.examine import examine
from ledger.application.doctor.findings import Finding, State, ok, problem, warning
from ledger.application.doctor.keys import check_file
from ledger.bootstrap import database_of, read_keys
from ledger.cli.console import out, print_json
from ledger.cli.options import JsonOption
from ledger.cli.session import check_there
from ledger.errors import LedgerError
from ledger.identity.provider import fetch_keys
from ledger.settings import read_settings
from ledger.store.log_key_source import log_keys_of
from ledger.telemetry.logs import configure

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ledger.settings import Settings
    from ledger.store.keyring import KeyEncryptionKeys

SHOWN = {
    State.OK: "в порядке / ok",
    State.UNKNOWN: "не видно / unknown",
    State.WARNING: "внимание / warning",
    State.PROBLEM: "НЕИСПРАВНО / PROBLEM",
}


def doctor(as_json: JsonOption = False) -> None:
    """Look at settings, database, rights, keys, clocks, views and disks; changes nothing. Exit 1 on a problem."""
    findings = []
    table = Table("проверка\ncheck", "", "что найдено\nwhat was found", "что делать\nwhat to do")
    for finding in diagnose():
        findings.append(finding)
        if as_json:
            print_json(finding)
        else:
            table.add_row(*map(escape, (finding.check, SHOWN[finding.state], finding.what, finding.help)))
    problems = sum(finding.state is State.PROBLEM for finding in findings)
    warnings = sum(finding.state is State.WARNING for finding in findings)
    if as_json:
        print_json({"healthy": not problems, "problems": problems, "warnings": warnings, "checks": len(findings)})
    else:
        out.print(table)
        out.print(
            f"Проверок / checks: {len(findings)}; неисправно / problems: {problems}; внимание / warnings: {warnings}."
        )
    if problems:
        raise typer.Exit(1)


def diagnose() -> Iterator[Finding]:
    """Yields every finding, from the settings upwards."""
    try:
        settings = read_settings()
    except LedgerError as error:
        yield problem("settings", error.detail, error.help)
        return
    configure("error", settings.log_format)
    known = {f"LEDGER_{name.upper()}" for name in type(settings).model_fields}
    named = {name for name in os.environ if name.startswith("LEDGER_")}
    if unknown := ", ".join(sorted(named - known)):
        yield warning("settings", f"Not settings of this ledger: {unknown}.", "Mistyped? The README lists them all.")
    else:
        yield ok("settings", f"{len(named)} set, all usable")
    embedded = settings.database_url is None
    try:
        check_there(settings)
    except LedgerError as error:
        yield problem("database", error.detail, error.help)
        return
    yield from _identity(settings)
    keks = yield from _keys(settings, embedded=embedded)
    try:
        with database_of(settings) as database:
            yield from examine(database, settings, keks)
    except LedgerError as error:
        yield problem("database", error.detail, error.help)


def _identity(settings: Settings) -> Iterator[Finding]:
    """Yields who can log in: through the provider of the settings, which is asked, or with development tokens."""
    try:
        check_identity(settings)
    except LedgerError as error:
        yield problem("identity", error.detail, error.help)
        return
    if settings.oidc_issuer is None:
        help_ = "For people's real data set LEDGER_ENV=production and LEDGER_OIDC_ISSUER (docs/identity.md)."
        yield warning("identity", "development tokens only: whoever runs `ledger token` is whoever they say", help_)
        return
    try:
        keys = asyncio.run(fetch_keys(settings.oidc_issuer, settings.oidc_jwks))
    except LedgerError as error:
        yield problem("identity", error.detail, error.help)
        return
    if not keys:
        help_ = "Nobody can log in. Look at what its jwks_uri answers: named Ed25519, P-256, or RSA from 2048 bits."
        yield problem("identity", "the provider's key set has no usable key", help_)
    else:
        besides = "" if settings.production else "; development tokens as well"
        yield ok("identity", f"the provider answers with {len(keys)} keys{besides}")


def _keys(settings: Settings, *, embedded: bool) -> Generator[Finding, None, KeyEncryptionKeys | None]:
    """Yields what there is to say of the keys' files, and returns the key-encryption keys if they can be read."""
    read: list[KeyEncryptionKeys] = []

    def read_kek() -> None:
        read.append(read_keys(settings))

    if settings.kek is not None:
        try:
            read_kek()
            yield ok("key file", "in the environment")
        except LedgerError as error:
            yield problem("key file", error.detail, error.help)
    else:
        yield from check_file("key file", settings.kek_path, read_kek, made=False, command="ledger keygen")
    if not settings.production:
        yield from check_file(
            "token key",
            settings.token_key_path,
            lambda: load_token_key(settings),
            made=embedded,
            command="ledger keygen --token",
        )
    log_keys = log_keys_of(settings)
    if settings.log_key is not None:
        try:
            log_keys.read()
            yield ok("log key", "in the environment")
        except LedgerError as error:
            yield problem("log key", error.detail, error.help)
        return read[0] if read else None
    yield from check_file(
        "log key",
        settings.log_key_path,
        log_keys.read,
        made=embedded and not settings.seal_path.exists(),
        command="ledger keygen --log --origin NAME",
    )
    return read[0] if read else None
