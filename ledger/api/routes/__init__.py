"""Routes, a module for each capability. A route turns a form into a command, or a query into a reading, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.api.routes import (
    access,
    achievements,
    bulk,
    class_groups,
    commands,
    consents,
    courses,
    disclosures,
    event,
    feed,
    hand_overs,
    health,
    history,
    journals,
    log,
    marks,
    portfolios,
    representation,
    requests,
    retention,
    school,
    staff,
    states,
    students,
    tracker,
    transfers,
    webhooks,
)

if TYPE_CHECKING:
    from fastapi import APIRouter


def all_routers() -> tuple[APIRouter, ...]:
    """Returns the routers in the order in which the documentation shows them."""
    capabilities = (
        school,
        staff,
        class_groups,
        courses,
        students,
        transfers,
        representation,
        consents,
        requests,
        marks,
        achievements,
        bulk,
        journals,
        portfolios,
        retention,
        disclosures,
        hand_overs,
        access,
        tracker,
        history,
        feed,
        event,
        states,
        webhooks,
        commands,
        log,
        health,
    )
    return tuple(capability.router for capability in capabilities)
