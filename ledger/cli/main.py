"""The command `ledger`: its commands, by name."""

from __future__ import annotations

import typer

from ledger.cli import (
    appointing,
    auditing,
    bench,
    demo,
    differing,
    doctoring,
    keeping,
    reading,
    reconciling,
    serving,
    verifying,
)
from ledger.cli.console import LedgerGroup, example
from ledger.cli.disclosing import disclosures_app, findings
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

app.command(epilog=example("ledger serve --port 9000"))(serving.serve)
app.command(epilog=example("ledger demo --once"))(demo.demo)
app.command(epilog=example("ledger token --office teacher --hours 8"))(keeping.token)
app.command(epilog=example("ledger appoint 4f1c-subject --document 'Приказ 1-к'"))(appointing.appoint)
app.add_typer(import_app, name="import")
app.command(epilog=example("ledger replay OULAD:student-11391 --at 2000"))(reading.replay)
app.command(epilog=example("ledger diff OULAD:student-11391 --from 2000 --to 3000"))(differing.diff)
app.add_typer(disclosures_app, name="disclosures")
app.command(epilog=example("ledger findings --from 2025-09-01 --json"))(findings)
app.command(epilog=example("ledger rebuild journals"))(auditing.rebuild)
app.command(epilog=example("ledger views --json"))(auditing.views)
app.command(epilog=example("ledger audit --json"))(auditing.audit)
app.command(epilog=example("ledger reconcile --since 2025-09-01 --json"))(reconciling.reconcile)
app.command(epilog=example("ledger verify --checkpoint checkpoint-of-last-year"))(verifying.verify)
app.add_typer(evidence_app, name="evidence")
app.add_typer(log_app, name="log")
app.add_typer(witness_app, name="witness")
app.command(epilog=example("ledger doctor --json"))(doctoring.doctor)
app.command(epilog=example("ledger bench --rounds 3 --seconds 1"))(bench.bench)
app.command(epilog=example("LEDGER_DATABASE_URL=postgresql://owner@db1/ledger ledger migrate"))(keeping.migrate)
app.command(epilog=example("ledger keygen --log --origin school.example/ledger"))(keeping.keygen)
app.command(epilog=example("ledger reset --yes"))(keeping.reset)
app.command(epilog=example("ledger version"))(keeping.version)
