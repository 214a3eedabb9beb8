"""Webhooks: to whom outside the school's events are announced, and who decided that.

That somebody is told is a fact of the ledger, with its author and reason. How far each one has been told is not: that
is kept beside the history, by the dispatcher. Secrets are no part of either (`application/webhooks/secrets.py`).
"""

from __future__ import annotations

import ipaddress
from typing import ClassVar
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from ledger.errors import Violation
from ledger.ids import new_id
from ledger.streams.base import Context, Lane, LaneRef, LedgerEvent, OpeningEvent, Proposal, State, judge

MAX_URL = 500


class WebhookState(State):
    """Whether the webhook was removed."""

    removed: bool = False


class Webhook(Lane):
    """The webhook's lane; its stream is the webhook's id, its subject the school."""

    KIND = "webhook"
    STATE: ClassVar[type[State]] = WebhookState

    @property
    def state(self) -> WebhookState:
        """The decision state."""
        state: WebhookState = self._state
        return state


class WebhookRegistered(OpeningEvent):
    """A webhook was registered: events whose topics begin with one of `topics` (all, without any) are announced.

    `after` is the position after which it begins; None begins after the registration itself.
    """

    TOPIC = "webhook.registered"
    LANE: ClassVar[type[Lane]] = Webhook
    url: str
    topics: tuple[str, ...]
    after: int | None

    def apply(self, aggregate: Webhook) -> None:
        """Changes nothing: that it is open is all that later decisions ask."""


class WebhookSecretRotated(LedgerEvent):
    """The webhook signs with a new secret; the one before serves beside it for a day."""

    TOPIC = "webhook.secret_rotated"
    reason: str

    def apply(self, aggregate: Webhook) -> None:
        """Changes nothing that later decisions ask."""


class WebhookResumed(LedgerEvent):
    """The webhook is tried again at once, also where it had been given up."""

    TOPIC = "webhook.resumed"
    reason: str

    def apply(self, aggregate: Webhook) -> None:
        """Changes nothing that later decisions ask."""


class WebhookRemoved(LedgerEvent):
    """Nobody is told through this webhook any more."""

    TOPIC = "webhook.removed"
    reason: str

    def apply(self, aggregate: Webhook) -> None:
        """Closes the webhook."""
        aggregate.state.removed = True


def split_url(url: str) -> SplitResult | None:
    """Returns the parts of a URL that a webhook may have, or None.

    That is `https` with a host and without a login or a fragment; `http` only to this machine, for development.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or port == 0:
        return None
    if not parts.hostname or parts.username is not None or parts.password is not None or parts.fragment:
        return None
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)):
        return parts
    return None


def is_loopback(host: str) -> bool:
    """Tells whether a host is this machine by its very name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def register_webhook(
    ref: LaneRef[Webhook], *, url: str, topics: tuple[str, ...], after: int | None, context: Context
) -> list[Proposal]:
    """Registers a webhook."""
    violations = []
    if split_url(url) is None:
        message = f"The URL must be https://host/path without a login or fragment, up to {MAX_URL} ASCII characters."
        violations.append(Violation("webhook_url", message))
    judge(violations, context)
    values = {"url": url, "topics": topics, "after": after}
    return [Proposal(ref, WebhookRegistered, values, new_id())]


def rotate_webhook_secret(ref: LaneRef[Webhook], webhook: Webhook, *, reason: str, context: Context) -> list[Proposal]:
    """Has the webhook sign with a new secret."""
    return _go_on(ref, webhook, WebhookSecretRotated, reason, context)


def resume_webhook(ref: LaneRef[Webhook], webhook: Webhook, *, reason: str, context: Context) -> list[Proposal]:
    """Has the webhook tried again."""
    return _go_on(ref, webhook, WebhookResumed, reason, context)


def remove_webhook(ref: LaneRef[Webhook], webhook: Webhook, *, reason: str, context: Context) -> list[Proposal]:
    """Removes the webhook."""
    return _go_on(ref, webhook, WebhookRemoved, reason, context)


def _go_on(
    ref: LaneRef[Webhook], webhook: Webhook, event: type[LedgerEvent], reason: str, context: Context
) -> list[Proposal]:
    violations = []
    if webhook.state.removed:
        violations.append(Violation("webhook_removed", "This webhook was removed; register another one."))
    if not reason.strip():
        violations.append(Violation("reason_missing", "Say why, for those who read the history later."))
    judge(violations, context)
    return [Proposal(ref, event, {"reason": reason.strip()}, new_id())]


def webhook_ref(webhook_id: UUID, school: UUID) -> LaneRef[Webhook]:
    """Names a webhook's lane."""
    return LaneRef(webhook_id, school, Webhook)
