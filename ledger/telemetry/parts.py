"""What the parts of one process tell its operators through: metrics always, traces where somebody collects them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ledger.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The metrics of a process, and its tracing if there is one."""

    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing | None = None


@contextmanager
def telemetry(otlp_endpoint: str | None, process: str) -> Iterator[Telemetry]:
    """Yields a process's telemetry; spans that wait to be sent are sent at the end of the block.

    Args:
        otlp_endpoint: address of an OpenTelemetry collector (OTLP over HTTP); without it nothing of OpenTelemetry is
            even loaded.
        process: what the process is called.
    """
    if otlp_endpoint is None:
        yield Telemetry()
        return
    from ledger.telemetry.tracing import exporting  # noqa: PLC0415 - loaded only where traces are collected

    with exporting(otlp_endpoint, process) as tracing:
        yield Telemetry(tracing=tracing)
