"""`ledger` on one core, whatever the machine has: `python -m tests.support.one_core verify --json`."""

from __future__ import annotations

import os

from ledger.cli.main import app

if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    app(prog_name="ledger")
