"""The whole service as a state machine, a few steps of it; `tests/soak/test_state_machine.py` goes on for long.

Here the database only loses its connections; there it is killed as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.support.book import Book
from tests.support.errands import KINDS, Errand, Town, a_command
from tests.support.examples import examples
from tests.support.service_machine import try_service
from tests.support.service_run import Tally
from tests.support.site import a_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.site import Site


@pytest.fixture(scope="module")
def site(postgres_url: str) -> Iterator[Site]:
    with a_site(postgres_url) as made:
        yield made


def test_errands_are_of_every_kind_of_work_at_a_school() -> None:
    book, one = Book(), UUID(int=1)
    book.students.append(one)
    town = Town(one, (one,), (one, one), (one, one))
    capabilities = {a_command(Errand(kind), town, book).command.capability for kind in KINDS}
    assert capabilities == {
        "found_school", "school", "permit_late_entry", "class_groups", "courses", "works", "enrolment", "transfers",
        "marks", "results", "achievements", "awards", "credits", "webhooks",
    }  # fmt: skip


def test_service_keeps_its_promises_whatever_happens(site: Site) -> None:
    tally = Tally()
    try_service(site, seed_=examples(1), runs=examples(2), steps=50, tally=tally)
    assert tally.runs >= 1
    assert tally.told["acknowledged"] > 20
    assert tally.told["refused"] > 0


@pytest.mark.parametrize("fault", ["answers leave before the commit", "idempotency is forgotten"])
def test_planted_fault_is_found(site: Site, fault: str) -> None:
    with pytest.raises(AssertionError):
        try_service(site, seed_=1, runs=10, steps=60, tally=Tally(), fault=fault, shrinking=False)
