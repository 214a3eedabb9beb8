"""Commands about webhooks: registering, new secrets, trying again, removing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from ledger.aggregates import webhooks as decisions
from ledger.application.record.command import RecordingCommand, existing, founded, no_such
from ledger.application.webhooks.registered import registered_by
from ledger.ids import new_id
from ledger.policy.offices import Office
from ledger.streams.base import Context, LaneRef, Lanes, Proposal

if TYPE_CHECKING:
    from ledger.application.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class RegisterWebhook(RecordingCommand):
    """Register a webhook."""

    CAPABILITY: ClassVar[str] = "webhooks"
    url: str
    topics: tuple[str, ...] = ()
    after: int | None = None
    webhook_id: UUID = field(default_factory=new_id)

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Registers it."""
        ref = decisions.webhook_ref(self.webhook_id, self.school)
        founded(lanes, self.school_ref)
        return decisions.register_webhook(ref, url=self.url, topics=self.topics, after=self.after, context=context)


@dataclass(frozen=True, kw_only=True)
class _WebhookCommand(RecordingCommand):
    """Base of the commands about a webhook that there is: the director's, and of the program that registered it."""

    CAPABILITY: ClassVar[str] = "webhooks"
    webhook_id: UUID
    reason: str
    registered_by: UUID | None = None
    """Who registered it, looked up before the decision: that never changes. None where nobody did."""

    async def informed(self, ledger: Ledger) -> _WebhookCommand:
        """Returns the command that knows whose webhook it is."""
        return replace(self, registered_by=await registered_by(ledger, self.webhook_id))

    def _found(self, lanes: Lanes, context: Context) -> tuple[LaneRef[decisions.Webhook], decisions.Webhook]:
        ref = decisions.webhook_ref(self.webhook_id, self.school)
        if context.office == Office.SYSTEM and self.registered_by != context.actor:
            raise no_such("webhook")
        return ref, existing(lanes, ref, "webhook")


@dataclass(frozen=True, kw_only=True)
class RotateWebhookSecret(_WebhookCommand):
    """Sign with a new secret."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Rotates it."""
        return decisions.rotate_webhook_secret(*self._found(lanes, context), reason=self.reason, context=context)


@dataclass(frozen=True, kw_only=True)
class ResumeWebhook(_WebhookCommand):
    """Try a webhook again at once."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Resumes it."""
        return decisions.resume_webhook(*self._found(lanes, context), reason=self.reason, context=context)


@dataclass(frozen=True, kw_only=True)
class RemoveWebhook(_WebhookCommand):
    """Remove a webhook."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Removes it."""
        return decisions.remove_webhook(*self._found(lanes, context), reason=self.reason, context=context)
