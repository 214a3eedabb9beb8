"""`ledger evidence`: packs that an inspector takes away, and their verification without database or network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ledger.application.disclose.feed import admit
from ledger.application.disclose.gate import open_access
from ledger.application.evidence import EvidenceExport
from ledger.cli.console import LedgerGroup, bars, example, out, print_json
from ledger.cli.options import ActorOption, JsonOption, OfficeOption, StudentName, reader_of
from ledger.cli.session import opened, with_ledger
from ledger.errors import Conflict, SettingsError
from ledger.policy.offices import Office
from ledger.policy.reading import Resource
from ledger.seal.note import VerifierKey
from ledger.seal.pack import verify_pack
from ledger.seal.pack_receipt import make_receipt
from ledger.streams.record_classes import STUDENT_CLASSES

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.application.disclose.gate import Reader
    from ledger.application.ledger import Ledger

evidence_app = typer.Typer(
    cls=LedgerGroup, no_args_is_help=True, help="Packs for an inspector, and their verification.",
    pretty_exceptions_enable=False,
)  # fmt: skip

Checkpoint = Annotated[
    Path | None,
    typer.Option("--checkpoint", exists=True, dir_okay=False, help="An older checkpoint of this log that you kept."),
]
KeyOption = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="VKEY", help="The log's verifier key, as you were given it elsewhere; repeatable."),
]
WitnessOption = Annotated[
    list[str] | None, typer.Option("--witness", metavar="VKEY", help="A witness's verifier key; may be repeated.")
]


@evidence_app.command("export", epilog=example("ledger evidence export --out pack-2026-01 --since 1"))
def export(
    folder: Annotated[Path, typer.Option("--out", file_okay=False, metavar="DIR", help="A folder that is not there.")],
    student: Annotated[
        StudentName | None, typer.Option(parser=StudentName, metavar="STUDENT", help="Only this student's events.")
    ] = None,
    since: Annotated[int, typer.Option(min=1, metavar="POSITION", help="Entries from this position on.")] = 1,
    office: OfficeOption = Office.AUDITOR,
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an evidence pack of what is sealed; one of a single student is recorded as a disclosure."""
    with opened() as base:
        reader = reader_of(base.settings, office, actor)
        subject = with_ledger(base, lambda ledger: _allowed(ledger, reader, student))
        base.ensure_log_key()
        base.sealer().catch_up()
        with bars() as shown:
            progress = shown.follow("выгрузка / export")
            info = EvidenceExport(base.database).export(folder, student=subject, since=since, progress=progress)
    if as_json:
        print_json({"folder": str(folder), **msgspec.to_builtins(info)})
    else:
        out.print(f"{folder}: {info.origin}, запечатано событий / events sealed: {info.size:,}.")
        out.print(f"Проверить / verify: ledger evidence verify {folder}")


async def _allowed(ledger: Ledger, reader: Reader, student: StudentName | None) -> UUID | None:
    if student is None:
        await admit(ledger, reader)
        return None
    found = await student.find(ledger, reader)
    await open_access(ledger, reader, Resource.HISTORY, students=[found], categories=STUDENT_CLASSES)
    return found


@evidence_app.command(
    "verify", epilog=example("ledger evidence verify pack-2026-01 --checkpoint checkpoint-of-last-year")
)
def verify(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, metavar="DIR", help="The pack.")],
    checkpoint: Checkpoint = None,
    key: KeyOption = None,
    witness: WitnessOption = None,
    quorum: Annotated[int, typer.Option(min=0, help="How many of the witnesses must vouch.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Verify a pack without database or network; exit 1 names the first position that does not hold."""
    with bars() as shown:
        report = verify_pack(
            folder,
            trusted=[VerifierKey.parse(text) for text in key or ()],
            old=read_file(checkpoint),
            witnesses=[VerifierKey.parse(text) for text in witness or ()],
            quorum=quorum,
            progress=shown.follow("записи / entries"),
        )
        shown.fill()
    if as_json:
        print_json(report)
        return
    span = f"{report.first_position:,}–{report.last_position:,}" if report.first_position else "—"
    out.print(f"Журнал / log: {report.origin}, событий / events: {report.size:,}")
    out.print(
        f"Проверено / verified: записи / entries {report.entries:,} ({span}), квитанции / receipts {report.receipts:,}"
    )
    if report.student is not None:
        out.print(f"Ученик / student: {report.student}")
    if report.continues is not None:
        out.print(f"Продолжает старую контрольную точку / continues the older checkpoint: {report.continues:,}")
    if report.witnesses:
        out.print(f"Свидетели / witnesses: {', '.join(report.witnesses)}")
    for told in report.not_checked:
        out.print(f"Не проверено / not checked: {told}")
    out.print("Всё сходится. / Everything holds.")


@evidence_app.command("receipt", epilog=example("ledger evidence receipt pack-2026-01 42 --out 42.tlog-proof"))
def receipt(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, metavar="DIR", help="The pack.")],
    position: Annotated[int, typer.Argument(min=1, metavar="POSITION", help="The record's position.")],
    key: KeyOption = None,
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it there, not to the standard output.")
    ] = None,
) -> None:
    """Make the receipt of a record from a pack, without database or network; it is verified first."""
    made = make_receipt(folder, position, [VerifierKey.parse(text) for text in key or ()])
    if file is None:
        typer.echo(made.receipt, nl=False)
    else:
        write_new(file, made.receipt)
    entry = made.entry
    told = (
        f"{entry.event_id}, {entry.topic}, {entry.recorded_at:%F %T} UTC" if entry else "запись не в папке / not here"
    )
    typer.echo(f"Позиция / position {position}: {told}", err=True)
    if not key:
        typer.echo("Не проверено / not checked: the verifier key is the pack's own (--key).", err=True)


def write_new(path: Path, data: bytes) -> None:
    """Writes a file that is not there yet.

    Raises:
        Conflict: it is. SettingsError: it cannot be written.
    """
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise Conflict(f"{path} exists.", help="Name another file.") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror}).", help="Name another file.") from error


def read_file(path: Path | None) -> bytes | None:
    """Returns a file's bytes, or None where none was named.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return path.read_bytes() if path is not None else None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}).", help="Check the name and rights.") from error
