"""What the executor tells its operators: once for a batch, into metrics and, where it is traced, into spans.

The executor calls this at its turning points and knows nothing of either. Without tracing no span is ever made.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from ledger.errors import LedgerError, Refused
from ledger.telemetry.parts import Telemetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.store.append import AppendResult
    from ledger.store.batch import Decided, Waiting, Written
    from ledger.store.keyring import Keyring
    from ledger.store.lanes import BatchLanes


class ExecutorWatch:
    """Counts and traces the batches of one executor."""

    def __init__(self, telemetry: Telemetry | None, keyring: Keyring) -> None:
        telemetry = telemetry or Telemetry()
        self.metrics = telemetry.metrics.executor
        self._keys = telemetry.metrics.keyring
        self._tracing = telemetry.tracing
        self._keyring = keyring
        self._keys.keys.set_function(lambda: len(keyring))

    @property
    def traced(self) -> bool:
        """Whether commands are to be told of when they are queued."""
        return self._tracing is not None

    def queued(self, waiting: Waiting) -> None:
        """A command was put into the queue; its span ends with its answer."""
        if self._tracing is not None:
            waiting.span = self._tracing.begin_command(type(waiting.envelope.command).__name__, waiting.future)

    def decided(self, began: float, batch: Sequence[Waiting], lanes: BatchLanes, written: Written) -> None:
        """A batch was decided and sealed, from `began` (of `perf_counter`) until now."""
        ended = perf_counter()
        self.metrics.decided(ended - began, len(batch), lanes.hits, lanes.loaded)
        self._keys.used(len(written.columns), self._keyring.loads)
        if self._tracing is not None:
            written.span = self._tracing.begin_batch(
                ended - began, [waiting.span for waiting in batch if waiting.span], len(written.columns)
            )

    def appended(self, began: float, result: AppendResult, written: Written) -> None:
        """The append function answered."""
        seconds = perf_counter() - began
        self.metrics.appended(seconds, result.outcome)
        self._end(written, seconds, result.outcome, result.last_position)

    def broke(self, began: float, written: Written) -> None:
        """The append function was called and did not answer."""
        seconds = perf_counter() - began
        self.metrics.appended(seconds, "broken")
        self._end(written, seconds, "broken", None)

    def forgotten(self, written: Written) -> None:
        """A batch that was decided ahead will be decided again."""
        self._end(written, None, "forgotten", None)

    def answered(self, decided: Sequence[Decided]) -> None:
        """A batch was committed and answered."""
        refusals = [entry.refusal for entry in decided if entry.refusal is not None]
        last = decided[-1]  # its events are the last of the batch, and `first` counts from 1
        self.metrics.answered(len(decided) - len(refusals), last.first - 1 + len(last.events))
        for refusal in refusals:
            self._refused(refusal)

    def failed(self, batch: Sequence[Waiting], error: BaseException) -> None:
        """Nobody could record a batch."""
        self.metrics.failed(error.code if isinstance(error, LedgerError) else "fault", len(batch))

    def _end(self, written: Written, seconds: float | None, outcome: str, position: int | None) -> None:
        if self._tracing is not None and written.span is not None:
            self._tracing.end_batch(written.span, seconds, outcome, position)
            written.span = None

    def _refused(self, refusal: BaseException) -> None:
        if isinstance(refusal, Refused):
            for code in {violation.code for violation in refusal.violations}:
                self.metrics.refused(code)
        else:
            self.metrics.refused(refusal.code if isinstance(refusal, LedgerError) else "fault")
