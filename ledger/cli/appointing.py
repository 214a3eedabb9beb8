"""`ledger appoint`: how a ledger gets its first director, by the hand of whoever runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ledger.aggregates.staff import LoginLinked
from ledger.application.record.command import Request, record
from ledger.application.record.staff import AppointDirector
from ledger.cli.console import out
from ledger.cli.session import opened, operator_id, with_ledger
from ledger.errors import SettingsError
from ledger.policy.offices import Actor, Office

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger
    from ledger.store.commands import Recorded


def appoint(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The provider's name for them: `sub` of a token.")],
    document: Annotated[str, typer.Option(help="The order that it rests on, such as `Приказ 1-к`.")],
) -> None:
    """Make somebody who logs in through LEDGER_OIDC_ISSUER the director, from today; the register says who did it."""
    with opened(making=True) as base:
        issuer = base.settings.oidc_issuer
        if issuer is None:
            raise SettingsError(
                "No identity provider is named, so nobody can log in.", help="Set LEDGER_OIDC_ISSUER first."
            )
        login = base.hasher.login(issuer, subject)
        actor = Actor(operator_id(base.settings), Office.SYSTEM)
        command = AppointDirector(school=base.id, login_id=login, document=document)

        async def work(ledger: Ledger) -> Recorded:
            return await record(ledger, command, Request(actor))

        recorded = with_ledger(base, work)
    topics = [event.topic for event in recorded.events]
    linked = "связан / linked" if LoginLinked.TOPIC in topics else "был связан / was linked before"
    out.print(f"Назначен директор / director appointed (#{recorded.position:,}); вход / login {login}: {linked}.")
