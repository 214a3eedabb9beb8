"""Every event of the ledger, by topic: what the mapper, the projections and the auditors share.

A topic is for ever. Taking one away, or giving it another meaning, would make old history unreadable; a test holds
this list against the recorded fixtures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.aggregates import class_group, course, disclosures, log_keys, school, staff, webhooks, working_days
from ledger.aggregates.student import achievements, consents, marks, record, representation, requests
from ledger.streams.base import LedgerEvent, OpeningEvent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

_MODULES: tuple[ModuleType, ...] = (
    school, log_keys, working_days, staff, class_group, course, record, representation, consents, requests,
    achievements, marks, disclosures, webhooks,
)  # fmt: skip


def _collect() -> dict[str, type[LedgerEvent]]:
    found: dict[str, type[LedgerEvent]] = {}
    for module in _MODULES:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, LedgerEvent) and value not in (LedgerEvent, OpeningEvent):
                if found.get(value.TOPIC, value) is not value:
                    message = f"Topic {value.TOPIC} is used twice."
                    raise ValueError(message)
                found[value.TOPIC] = value
    return found


EVENTS: Mapping[str, type[LedgerEvent]] = _collect()
"""Event classes by topic."""
