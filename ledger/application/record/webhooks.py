"""Commands about webhooks: registering, new secrets, trying again, removing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import UUID

from ledger.aggregates import webhooks as decisions
from ledger.application.record.command import RecordingCommand, existing, founded
from ledger.ids import new_id
from ledger.streams.base import Context, LaneRef, Lanes, Proposal


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
    """Base of the commands about a webhook that there is."""

    CAPABILITY: ClassVar[str] = "webhooks"
    webhook_id: UUID
    reason: str

    def _found(self, lanes: Lanes) -> tuple[LaneRef[decisions.Webhook], decisions.Webhook]:
        ref = decisions.webhook_ref(self.webhook_id, self.school)
        return ref, existing(lanes, ref, "webhook")


@dataclass(frozen=True, kw_only=True)
class RotateWebhookSecret(_WebhookCommand):
    """Sign with a new secret."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Rotates it."""
        return decisions.rotate_webhook_secret(*self._found(lanes), reason=self.reason, context=context)


@dataclass(frozen=True, kw_only=True)
class ResumeWebhook(_WebhookCommand):
    """Try a webhook again at once."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Resumes it."""
        return decisions.resume_webhook(*self._found(lanes), reason=self.reason, context=context)


@dataclass(frozen=True, kw_only=True)
class RemoveWebhook(_WebhookCommand):
    """Remove a webhook."""

    def decide(self, lanes: Lanes, context: Context) -> Sequence[Proposal]:
        """Removes it."""
        return decisions.remove_webhook(*self._found(lanes), reason=self.reason, context=context)
