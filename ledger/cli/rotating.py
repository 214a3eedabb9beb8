"""`ledger log`: changing the key that signs the log, and what only an operator may say of it.

Most of it needs the key file, so its owner does it.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.application.rotation import (
    GRACE,
    announce_log_key,
    retire_given_key,
    retire_log_key,
    rotate_log_key,
)
from ledger.cli.console import LedgerGroup, example, out, print_json
from ledger.cli.options import ActorOption, JsonOption
from ledger.cli.session import opened, operator_id, with_ledger
from ledger.errors import InvalidInput, NotFound
from ledger.policy.offices import Actor, Office
from ledger.seal.checkpoint import Checkpoint
from ledger.seal.note import parse_note
from ledger.seal.strict import write_base64
from ledger.store.database import translated
from ledger.store.log_key_source import LogKeyVariable, log_keys_of
from ledger.store.log_troubles import ANCHOR, Decision, keep_decision, read_decisions, settle_trouble
from ledger.telemetry.logs import get_logger

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.bootstrap import Foundation

logger = get_logger(__name__)

log_app = typer.Typer(
    cls=LedgerGroup,
    no_args_is_help=True,
    help="Look after the log: its keys and what contradicts it.",
    pretty_exceptions_enable=False,
)

_WRONG_PLACE = {
    True: (
        "The log's key is in LEDGER_LOG_KEY, which only who sets it can change.",
        "Make a new one (`ledger keygen --log --origin NAME -`), give its verifier key here (--key VKEY), then add it.",
    ),
    False: ("The log's key is in a file, where this command makes the new one itself.", "Leave --key out."),
}

ReasonOption = Annotated[str, typer.Option(help="Why; it stands in the event.")]


@log_app.command("rotate", epilog=example('ledger log rotate --reason "Смена ключа раз в год"'))
def rotate(
    reason: ReasonOption,
    key: Annotated[
        str | None,
        typer.Option(metavar="VKEY", help="With LEDGER_LOG_KEY: the verifier key of the key that you add to it."),
    ] = None,
    actor: ActorOption = None,
) -> None:
    """Add a new key to the log's key file and record it; from then on both keys sign. Prints the new verifier key."""
    with opened() as base:
        path, source, by = base.settings.log_key_path, log_keys_of(base.settings), _operator(base, actor)
        given = isinstance(source, LogKeyVariable)
        if given != (key is not None):
            detail, todo = _WRONG_PLACE[given]
            raise InvalidInput(detail, help=todo)
        if isinstance(source, LogKeyVariable):
            added = with_ledger(base, lambda ledger: announce_log_key(ledger, source, by, key or "", reason))
        else:
            added = with_ledger(base, lambda ledger: rotate_log_key(ledger, path, by, reason))
    out.print(str(added), markup=False, soft_wrap=True)
    if given:
        out.print(
            "Теперь добавьте сам ключ в LEDGER_LOG_KEY и перезапустите службу."
            " / Now add the key itself to LEDGER_LOG_KEY after the old one, and restart the service."
        )
    out.print(
        "Передайте этот ключ проверяющим и свидетелям, затем: ledger log retire СТАРЫЙ_КЛЮЧ."
        " / Give this key to inspectors and witnesses by a way of its own, then retire the old one."
    )


@log_app.command("retire", epilog=example('ledger log retire c1f3be8d --reason "Смена ключа раз в год"'))
def retire(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="The eight digits in the middle of a verifier key.")],
    reason: ReasonOption,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="How long the newer key must have signed beside it.")
    ] = GRACE.total_seconds() / 3600,
    actor: ActorOption = None,
) -> None:
    """Take a key out of the log's key file for good and record it; from that event on the others sign alone."""
    with opened() as base:
        path, source, by = base.settings.log_key_path, log_keys_of(base.settings), _operator(base, actor)
        grace = timedelta(hours=grace_hours)
        if isinstance(source, LogKeyVariable):
            key = with_ledger(base, lambda ledger: retire_given_key(ledger, source, by, key_id, reason, grace=grace))
        else:
            key = with_ledger(base, lambda ledger: retire_log_key(ledger, path, by, key_id, reason, grace=grace))
    out.print(f"Больше не подписывает / signs nothing any more: {key}", markup=False, soft_wrap=True)


@log_app.command(
    "anchor",
    epilog=example('ledger log anchor --accept --checkpoint checkpoint-of-the-inspector --reason "Новый сервер"'),
)
def anchor(
    accept: Annotated[bool, typer.Option("--accept", help="Trust it from now on: write the file.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", exists=True, dir_okay=False, help="One from elsewhere that it must continue."),
    ] = None,
    reason: Annotated[str, typer.Option(help="With --accept: why the file is lost; it is kept.")] = "",
    actor: ActorOption = None,
) -> None:
    """Show what this host would trust without its lost LEDGER_SEAL_FILE; `--accept` makes the file of it."""
    kept = checkpoint.read_bytes() if checkpoint is not None else None
    with opened() as base:
        newest, path = base.sealer().trust(kept), base.settings.seal_path
        root = write_base64(newest.root)
        if accept:
            by, said = _operator(base, actor).id, f"{newest.origin} {newest.size} {root}; {_compared(kept)}"
            with translated(), base.database.connect("sealer") as connection:
                keep_decision(connection, base.database, ANCHOR, said, reason, by)
            newest = base.sealer().trust(kept, accepting=True)
            root = write_base64(newest.root)
    out.print(f"{newest.origin}\n{newest.size}\n{root}", markup=False, soft_wrap=True)
    if not newest.size:
        out.print(
            "В базе нет журнала: всё, что в ней записано, будет подписано заново. Если что-то уже было подписано, это"
            " новая история. / The database has no log: whatever its events are now is signed from the first on. If"
            " anything was ever sealed, that is a second history.",
            soft_wrap=True,
        )
    out.print(
        "База согласуется с этой контрольной точкой, но что после неё ничего не было подписано, никто вне базы не"
        " подтверждает. / The database agrees with this checkpoint; that nothing after it was ever signed, the database"
        f" alone says{' (it continues the one you gave)' if kept else ''}.",
        soft_wrap=True,
    )
    if not accept:
        out.print("Ничего не записано / nothing was written: --accept.")
        return
    logger.warning("The sealer's file outside the database was accepted anew.", size=newest.size, root=root, why=reason)
    out.print(f"Записано / written: {path}", markup=False, soft_wrap=True)


def _compared(kept: bytes | None) -> str:
    """Returns what the accepted checkpoint was compared with, as it stands in the decision for ever."""
    if kept is None:
        return "compared with nothing from elsewhere"
    older = Checkpoint.parse(parse_note(kept).text)
    return f"continues {older.size} {write_base64(older.root)}, given with --checkpoint"


@log_app.command("dismiss", epilog=example('ledger log dismiss witness.example/w1 --reason "Диск свидетеля сломан"'))
def dismiss(
    witness: Annotated[str, typer.Argument(metavar="WITNESS", help="The witness's name, as `/readyz` tells it.")],
    reason: Annotated[str, typer.Option(help="What you found out; it is kept.")],
    actor: ActorOption = None,
) -> None:
    """Say that what a witness claims against the log was looked into; it is shown no more until it claims another."""
    with opened() as base, translated(), base.database.connect("sealer") as connection:
        said = settle_trouble(connection, base.database, witness, reason, _operator(base, actor).id)
    if said is None:
        raise NotFound(f"The witness {witness} claims nothing.", help="`/readyz` names those that do.")
    logger.warning("What a witness claims against the log was dismissed.", witness=witness, said=said, why=reason)
    out.print(f"Рассмотрено / looked into: {said}", markup=False, soft_wrap=True)


@log_app.command("decisions", epilog=example("ledger log decisions --json"))
def decisions(as_json: JsonOption = False) -> None:
    """List what operators have decided about the log: when, who, what and why, the oldest first."""
    with opened() as base, translated(), base.database.connect("reader") as connection:
        listed = read_decisions(connection, base.database)
    for decision in listed:
        if as_json:
            print_json(decision._asdict())
        else:
            _show_decision(decision)
    if not as_json:
        out.print(f"Решений / decisions: {len(listed):,}.")


def _show_decision(decision: Decision) -> None:
    if decision.about == ANCHOR:
        what = f"Принята контрольная точка без файла вне базы / accepted without the file outside: {decision.said}"
    else:
        witness = decision.about.partition("+")[0]
        what = f"Рассмотрено, что утверждает свидетель / looked into what {witness} claims: {decision.said}"
    who = decision.decided_by or "не записано / not recorded"
    out.print(
        f"{decision.decided_at:%Y-%m-%d %H:%M} UTC, оператор / operator {who}\n"
        f"  {what}\n  Причина / reason: {decision.reason}",
        markup=False,
        soft_wrap=True,
    )


def _operator(base: Foundation, actor: UUID | None) -> Actor:
    return Actor(actor or operator_id(base.settings), Office.SYSTEM)
