"""The command `ledger`: its commands, by name."""

from __future__ import annotations

import typer

from ledger.cli import auditing, bench, demo, differing, doctoring, keeping, reading, serving, verifying
from ledger.cli.console import LedgerGroup
from ledger.cli.evidence import evidence_app
from ledger.cli.importing import import_app
from ledger.cli.rotating import log_app
from ledger.cli.witnessing import witness_app

app = typer.Typer(
    cls=LedgerGroup,
    name="ledger",
    help="An audit ledger of what a school knows about its students.",
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show the values of local variables, and those may be a student's.
    pretty_exceptions_enable=False,
)

app.command()(serving.serve)
app.command()(demo.demo)
app.command()(keeping.token)
app.add_typer(import_app, name="import")
app.command()(reading.replay)
app.command()(differing.diff)
app.command()(reading.disclosures)
app.command()(auditing.rebuild)
app.command()(auditing.views)
app.command()(auditing.audit)
app.command()(verifying.verify)
app.add_typer(evidence_app, name="evidence")
app.add_typer(log_app, name="log")
app.add_typer(witness_app, name="witness")
app.command()(doctoring.doctor)
app.command()(bench.bench)
app.command()(keeping.migrate)
app.command()(keeping.keygen)
app.command()(keeping.reset)
app.command()(keeping.version)
