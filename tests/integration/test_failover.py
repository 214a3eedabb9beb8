"""The failover drill, once with a fixed seed; twenty times with others in `tests/soak/test_failover.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.failover import MANUAL, a_drill

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.store.keyring import KeyEncryptionKeys
    from ledger.store.mapper import EventMapper


async def test_killed_primary_costs_no_acknowledged_event_and_work_goes_on_with_its_standby(
    keks: KeyEncryptionKeys, mapper: EventMapper, tmp_path: Path
) -> None:
    async with a_drill(keks, mapper, tmp_path, seed=1) as drill:
        await drill.fails_over()
        await drill.old_primary_returns_read_only()
        await drill.old_primary_returns_as_a_primary()
        await drill.takes_the_old_primary_back()
        await drill.ends()
        await drill.holds()


def test_every_command_of_the_manual_is_run() -> None:
    assert MANUAL.headings == ["Add a standby", "Make it synchronous", "Fail over", "Take the old primary back"]
