"""`ledger verify`: the database against its log and against what was kept outside it; hashes and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ledger.application.cosigning import read_witnesses
from ledger.application.verification import LogReport, LogVerifier, Outside
from ledger.cli.auditing import SHOWN, run_audit, show_audit, uncollected
from ledger.cli.console import bars, out, print_json
from ledger.cli.evidence import read_file
from ledger.cli.options import JsonOption
from ledger.cli.session import opened
from ledger.errors import InvalidInput, NotProven, SettingsError
from ledger.seal.note import VerifierKey, parse_note
from ledger.store.anchor import Anchor
from ledger.store.log_key_source import log_keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.bootstrap import Foundation


def verify(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="An older checkpoint kept elsewhere; may be repeated."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="VKEY", help="The log's verifier key; without it those of this host."),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(metavar="VKEY", help="A former witness, besides those of LEDGER_WITNESS_FILE; may be repeated."),
    ] = None,
    hashes_only: Annotated[bool, typer.Option("--hashes-only", help="Leave out the replay of every view.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Verify the database against its log, hashes and meaning; exit 1 names each record that does not hold."""
    with opened() as base:
        report = run_verify(base, checkpoint or [], key or [], witness or [])
        audit = None if hashes_only else run_audit(base)
    if hashes_only:
        report.not_checked.append("Whether every view is what a replay makes of the events (leave --hashes-only out).")
    sound = report.sound and (audit is None or audit.equal)
    if as_json:
        for finding in (*report.findings, *(audit.findings if audit else ())):
            print_json(finding)
        print_json(
            {
                "sound": sound,
                "origin": report.origin,
                "sealed": report.sealed,
                "events": report.events,
                "snapshots": report.snapshots,
                "findings": len(report.findings) + report.unlisted + (len(audit.findings) if audit else 0),
                "views_equal": audit.equal if audit else None,
                "not_checked": report.not_checked,
            }
        )
    else:
        _show(report)
        if audit is not None:
            show_audit(audit)
        out.print("Всё сходится. / Everything holds." if sound else "НЕ СХОДИТСЯ. / IT DOES NOT HOLD.")
    if not sound:
        raise typer.Exit(1)


def run_verify(base: Foundation, checkpoints: list[Path], keys: list[str], witnesses: Sequence[str] = ()) -> LogReport:
    """Verifies the log with a bar; the sealer's own file counts as kept outside where it is there."""
    source = log_keys_of(base.settings)
    if not keys and not source.there:
        raise SettingsError("The log's key is not known here.", help="Give the log's verifier key: --key VKEY.")
    trusted = [VerifierKey.parse(text) for text in keys] or [signer.verifier for signer in source.read()]
    outside = [_kept(path) for path in checkpoints]
    anchored = Anchor(base.settings.seal_path).read()
    if anchored is not None:
        outside.append(Outside("the sealer's file", anchored))
    retired = () if keys else source.retired()
    vouching, unread = [VerifierKey.parse(text) for text in witnesses], ""
    try:
        vouching += [witness.key for witness in read_witnesses(base.settings.witness_file)]
    except SettingsError as error:
        unread = f"Which witnesses this host knows: {error.detail}"
    verifier = LogVerifier(
        base.database, base.mapper, base.keks, trusted, outside, retired, vouching, complete=not keys
    )
    with bars() as shown, uncollected():
        report = verifier.verify(shown.follow("журнал / log"), shown.follow("подписи свидетелей / cosignatures"))
    if unread:
        report.not_checked.append(unread)
    return report


def _kept(path: Path) -> Outside:
    """Returns a checkpoint that somebody kept; what was cut off or has a line too many says nothing about the ledger.

    Raises:
        InvalidInput: the file is no checkpoint.
    """
    note = read_file(path) or b""
    try:
        parse_note(note)
    except NotProven as error:
        raise InvalidInput(f"{path}: {error.detail}", help=error.help) from error
    return Outside(str(path), note)


def _show(report: LogReport) -> None:
    for finding in report.findings[:SHOWN]:
        out.print(f"{escape(finding.where)}: {escape(finding.record)}: {escape(finding.what)}")
    more = len(report.findings) + report.unlisted - min(len(report.findings), SHOWN)
    if more:
        out.print(f"... ещё / and {more:,} more; --json lists up to {len(report.findings):,}")
    out.print(
        f"Журнал / log: {escape(report.origin) or '—'}: запечатано / sealed {report.sealed:,};"
        f" событий сверено / events compared {report.events:,}; снимков / snapshots {report.snapshots:,}"
    )
    for told in report.not_checked:
        out.print(f"Не проверено / not checked: {escape(told)}")
