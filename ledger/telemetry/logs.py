"""Logs of every process: one line an event, JSON where machines read them, and nobody's personal data.

A log line may have codes, opaque ids, positions and places in the source. What could quote a value is taken out here,
for every logger alike: the messages of exceptions (a library's may repeat what it choked on), the futures that asyncio
describes, and what would be printed past the log (uncaught exceptions, warnings).

Loggers are made by `get_logger` and end in the standard library's logging, as those of libraries do, so both have one
format, and a test or another program that configures logging itself gets the lines of both.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, cast

import msgspec
import structlog
from structlog.contextvars import merge_contextvars
from structlog.stdlib import BoundLogger, ProcessorFormatter

from ledger.clock import utc_now
from ledger.errors import trace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import TextIO

    from structlog.typing import EventDict, Processor, WrappedLogger

_CHATTY = ("uvicorn", "uvicorn.error", "asyncio", "psycopg.pool")
"""Heard at debug only: whoever starts the server says so in a sentence."""

_ADDRESSES = ("httpx", "httpcore", "urllib3")
"""Never heard below warning: they log addresses, and an address may hold a key or a foreign id."""


def get_logger(name: str) -> BoundLogger:
    """Returns a logger for events with fields: `logger.warning("what happened", view="journals")`.

    Fields are codes, ids and numbers; what is bound to the context (request id, trace id) comes along.
    """
    wrapped = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=True,
    )
    return cast("BoundLogger", wrapped)


class RequestLog:
    """Tells of each request in one line, as a logger of `get_logger` would, in a fraction of its time.

    Where our own output alone hears of the line it is written as it is; whoever else listens gets a record as ever.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def tell(self, bound: Mapping[str, str], **fields: object) -> None:
        """Logs a request that was answered.

        Args:
            bound: what other lines of this request have from their context.
            fields: of this line.
        """
        if not self._logger.isEnabledFor(logging.INFO):
            return
        at = utc_now().isoformat().replace("+00:00", "Z")
        event = {**fields, "event": "request", "logger": self._logger.name, "level": "info", "timestamp": at, **bound}
        output = _only_output(self._logger)
        if output is not None:
            output.write(event)
            return
        record = logging.LogRecord(self._logger.name, logging.INFO, "", 0, event, (), None)
        record.__dict__ |= {"_logger": None, "_name": "info"}  # by which formatters know what is prepared already
        self._logger.handle(record)


def configure(level: str, log_format: str | None = None, *, process: str = "cli", stream: TextIO | None = None) -> None:
    """Sends the log of this process to stderr, and takes over what Python would print there by itself.

    Args:
        level: debug, info, warning or error.
        log_format: json or console; None chooses console on a terminal.
        process: which process of the service this is; in every line.
        stream: another place than stderr.
    """
    stream = stream or sys.stderr
    console = (log_format or ("console" if stream.isatty() else "json")) == "console"
    handler = _console(stream) if console else _Output(stream, process)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.raiseExceptions = False  # it prints the arguments of a line that cannot be formatted
    logging.captureWarnings(capture=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else logging.WARNING)
    for name in _ADDRESSES:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _on_uncaught
    threading.excepthook = _on_uncaught_in_thread
    sys.unraisablehook = _on_unraisable


def _shared() -> list[Processor]:
    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        merge_contextvars,
        _without_messages,
    ]


def _console(stream: TextIO) -> logging.Handler:
    rendering: list[Processor] = [
        ProcessorFormatter.remove_processors_meta,
        structlog.dev.ConsoleRenderer(colors=stream.isatty()),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=[*_shared(), _first_line], processors=rendering))
    return handler


class _Output(logging.StreamHandler["TextIO"]):
    """One JSON object a line; what comes from our own loggers is not copied once more before it is rendered."""

    def __init__(self, stream: TextIO, process: str) -> None:
        super().__init__(stream)
        self._process = process

        def to_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
            return self._line(event)

        rendering: list[Processor] = [ProcessorFormatter.remove_processors_meta, to_json]
        self.setFormatter(ProcessorFormatter(foreign_pre_chain=[*_shared(), _first_line], processors=rendering))

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line of a record."""
        if isinstance(record.msg, dict) and hasattr(record, "_name"):
            return self._line(record.msg)
        return super().format(record)

    def write(self, event: EventDict) -> None:
        """Writes the line of an event; what hinders it is handled as of a record."""
        try:
            line = self._line(event) + self.terminator
            self.acquire()
            try:
                self.stream.write(line)
                self.flush()
            finally:
                self.release()
        except Exception:  # noqa: BLE001 - as `emit`: that a line cannot be written is no reason to fail
            self.handleError(logging.makeLogRecord(event))

    def _line(self, event: EventDict) -> str:
        return _json.encode({**event, "process": self._process, "pid": os.getpid()}).decode()


def _only_output(logger: logging.Logger) -> _Output | None:
    """Returns our own output where it hears all that a logger says, and nobody else does."""
    heard: list[logging.Handler] = []
    at: logging.Logger | None = logger
    while at is not None:
        heard += at.handlers
        at = at.parent if at.propagate else None
    if len(heard) != 1 or logger.filters:
        return None
    [only] = heard
    return only if isinstance(only, _Output) and not only.filters and only.level <= logging.INFO else None


_json = msgspec.json.Encoder(enc_hook=str)


def _without_messages(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replaces an exception by its kinds and places."""
    told = event.pop("exc_info", None)
    event.pop("stack_info", None)
    error = told[1] if isinstance(told, tuple) else sys.exception() if told is True else told
    if isinstance(error, BaseException):
        event["exception"] = trace(error)
    return event


def _first_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Cuts off the futures and handles that asyncio lists below its message, with the exceptions that they hold."""
    if event["logger"] == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


# --- what would be printed past the log ------------------------------------------------------------------------------


def _on_uncaught(kind: type[BaseException], error: BaseException, place: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, place)
        return
    logger.critical("uncaught exception", exception=trace(error))


def _on_uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None and not issubclass(told.exc_type, SystemExit):
        name = told.thread.name if told.thread else "?"
        logger.critical("uncaught exception in a thread", thread=name, exception=trace(told.exc_value))


def _on_unraisable(told: sys.UnraisableHookArgs) -> None:
    if told.exc_value is not None:
        logger.error("exception that could not be raised", exception=trace(told.exc_value))


logger = get_logger(__name__)
