"""`ledger log`: changing the key that signs the log. Needs the key file, so its owner does it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.application.rotation import GRACE, retire_log_key, rotate_log_key
from ledger.cli.console import LedgerGroup, example, out
from ledger.cli.session import ActorOption, opened, operator_id, with_ledger
from ledger.policy.offices import Actor, Office

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.bootstrap import Foundation

log_app = typer.Typer(
    cls=LedgerGroup, no_args_is_help=True, help="Change the key that signs the log.", pretty_exceptions_enable=False
)

ReasonOption = Annotated[str, typer.Option(help="Why; it stands in the event.")]


@log_app.command("rotate", epilog=example('ledger log rotate --reason "Смена ключа раз в год"'))
def rotate(reason: ReasonOption, actor: ActorOption = None) -> None:
    """Add a new key to the log's key file and record it; from then on both keys sign. Prints the new verifier key."""
    with opened() as base:
        base.log_keys()
        path = base.settings.log_key_path
        key = with_ledger(base, lambda ledger: rotate_log_key(ledger, path, _operator(base, actor), reason))
    out.print(str(key), markup=False, soft_wrap=True)
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
        path, grace = base.settings.log_key_path, timedelta(hours=grace_hours)
        key = with_ledger(
            base, lambda ledger: retire_log_key(ledger, path, _operator(base, actor), key_id, reason, grace=grace)
        )
    out.print(f"Больше не подписывает / signs nothing any more: {key}", markup=False, soft_wrap=True)


def _operator(base: Foundation, actor: UUID | None) -> Actor:
    return Actor(actor or operator_id(base.settings), Office.SYSTEM)
