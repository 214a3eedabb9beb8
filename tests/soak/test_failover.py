"""The failover drill many times: `pytest -m soak tests/soak/test_failover.py`; one seed alone by `-k "[17]"`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.failover import a_drill

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 21))
async def test_failover_holds_what_it_promises(
    keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path, seed: int
) -> None:
    async with a_drill(keks, mapper, tmp_path, seed) as drill:
        await drill.fails_over()
        if seed % 2:
            await drill.old_primary_returns_as_a_primary()
        await drill.takes_the_old_primary_back()
        await drill.fails_over()  # and back to where it began
        await drill.takes_the_old_primary_back()
        await drill.ends()
        await drill.holds()
    sys.stdout.write(f"seed {seed}: {drill.summary()}; {drill.outage_s:.2f} s without an acknowledgement\n")
