"""The whole service as a state machine, a hundred thousand steps of it.

LEDGER_SOAK_STEPS   how many steps (100,000)
LEDGER_SOAK_SEED    the first seed (1); each round of 2,000 steps has the next one, and prints it
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis.errors import Flaky

from tests.support.cluster import Server, a_folder
from tests.support.faults import FAULTS
from tests.support.service_machine import try_service
from tests.support.service_run import Tally
from tests.support.site import a_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.site import Site

STEPS = int(os.environ.get("LEDGER_SOAK_STEPS", "100000"))
SEED = int(os.environ.get("LEDGER_SOAK_SEED", "1"))
RUNS, STEPS_EACH = 10, 200
"""Of one round."""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with a_folder() as folder:
        server = Server(folder, "a")
        server.create()
        server.start()
        with a_site(server.url.replace("/ledger?", "/postgres?"), server) as made:
            yield made


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_service_keeps_its_promises_whatever_happens(site: Site) -> None:
    tally, began, round_seed = Tally(), time.monotonic(), SEED
    while tally.steps < STEPS:
        sys.stdout.write(f"seed {round_seed}: LEDGER_SOAK_SEED={round_seed} LEDGER_SOAK_STEPS=1 tries it again\n")
        sys.stdout.flush()
        runs = min(RUNS, -(-(STEPS - tally.steps) // STEPS_EACH))
        try_service(site, seed_=round_seed, runs=runs, steps=STEPS_EACH, tally=tally)
        round_seed += 1
    seconds = time.monotonic() - began
    figures = {"seconds": round(seconds), "steps/s": round(tally.steps / seconds)} | tally.figures()
    sys.stdout.write(json.dumps(figures, ensure_ascii=False) + "\n")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(site: Site, fault: str) -> None:
    tally = Tally()
    with pytest.raises((AssertionError, Flaky)):  # tried again, a run may end in another way
        try_service(site, seed_=SEED, runs=20, steps=100, tally=tally, fault=fault, shrinking=False)
    assert isinstance(tally.first, AssertionError)
