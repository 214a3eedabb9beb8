"""What the doctor says of disclosures: how they agreed last with what was opened, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ledger.application.doctor.findings import State
from tests.integration.application.test_doctor import examined, run

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.store.database import Database


@pytest.mark.parametrize(
    ("compared", "state", "said"),
    [
        (None, State.OK, "nothing to compare yet"),
        ("now(), 9, 0, 1", State.OK, "compared 0 days ago, coverage 90.00%"),
        ("now() - interval '3 days', 9, 0, 0", State.WARNING, "was compared with what was disclosed 3 days ago"),
        ("now(), 9, 2, 0", State.PROBLEM, "2 openings had no disclosure"),
    ],
)
def test_doctor_tells_how_openings_and_disclosures_agreed_last(
    ledger_db: Database, tmp_path: Path, compared: str | None, state: State, said: str
) -> None:
    if compared is not None:
        run(
            ledger_db,
            "INSERT INTO {schema}.reconciliations"
            " (reconciled_at, covered, uncovered, unknown, since, until, disclosures)"
            f" SELECT {compared}, now(), now(), 9",
        )
    (found,) = examined(ledger_db, tmp_path)["disclosures"]
    assert found.state is state
    assert said in found.what


def test_doctor_misses_a_comparison_that_was_never_made(ledger_db: Database, tmp_path: Path) -> None:
    run(
        ledger_db,
        "INSERT INTO {schema}.opening_intervals VALUES (gen_random_uuid(), 1, now() - interval '3 days', true, 'host')",
    )
    (found,) = examined(ledger_db, tmp_path)["disclosures"]
    assert found.state is State.WARNING


def test_doctor_names_a_process_that_told_nothing_more_of_what_it_opened(ledger_db: Database, tmp_path: Path) -> None:
    counted = (
        "INSERT INTO {schema}.opening_intervals SELECT gen_random_uuid(), 1, now() - interval '%s', %s, 'host, pid 1'"
    )
    compared = (
        "INSERT INTO {schema}.reconciliations (covered, uncovered, unknown, since, until, disclosures)"
        " SELECT 9, 0, 0, now(), now(), 9"
    )
    run(ledger_db, compared, counted % ("1 minute", False), counted % ("10 minutes", True), counted % ("9 days", False))
    (found,) = examined(ledger_db, tmp_path)["disclosures"]
    assert found.state is State.OK
    run(ledger_db, counted % ("10 minutes", False))
    (found,) = examined(ledger_db, tmp_path)["disclosures"]
    assert found.state is State.WARNING
    assert found.what.startswith("Processes that told nothing more of what they opened: 1,")
