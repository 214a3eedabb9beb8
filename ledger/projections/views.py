"""Every view of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.projections.disclosures.projection import disclosure_view
from ledger.projections.journals.projection import JOURNALS
from ledger.projections.portfolios.projection import PORTFOLIOS
from ledger.projections.requests.projection import REQUESTS
from ledger.projections.retention.projection import RETENTION
from ledger.projections.rosters.projection import Token, rosters
from ledger.projections.staff.projection import STAFF

if TYPE_CHECKING:
    from ledger.projections.view import View


def all_views(blind_index: Token) -> tuple[View, ...]:
    """Returns the views; `blind_index` makes search tokens (see `store/secrets.py`)."""
    disclosures = disclosure_view(blind_index)
    return (rosters(blind_index), JOURNALS, PORTFOLIOS, RETENTION, disclosures, STAFF, REQUESTS)
