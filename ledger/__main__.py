"""`python -m ledger` is the command line."""

from __future__ import annotations

from ledger.cli.main import app

if __name__ == "__main__":
    app(prog_name="ledger")
