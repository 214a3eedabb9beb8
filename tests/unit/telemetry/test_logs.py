"""Logs: one format for all, bound ids, and no message of an exception by whatever way it comes."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from structlog.contextvars import bound_contextvars

from ledger.telemetry.logs import RequestLog, configure, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANARY = "Канарейкина"
Lines = list[dict[str, Any]]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A log of our own; afterwards logging and Python's hooks are as they were."""
    for name in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("uvicorn", "uvicorn.error", "asyncio", "psycopg.pool")}
    root.handlers.clear()
    try:
        yield io.StringIO()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, before in levels.items():
            logging.getLogger(name).setLevel(before)
        logging.captureWarnings(capture=False)


def lines(stream: io.StringIO) -> Lines:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def choke() -> None:
    raise ValueError(CANARY + " was the value")


def test_line_has_time_level_logger_process_and_fields(stream: io.StringIO) -> None:
    configure("info", "json", process="api-1", stream=stream)
    with bound_contextvars(request_id="r-1", trace_id="t-1"):
        get_logger("ledger.some.room").warning("It happened.", view="journals", position=7)
        logging.getLogger("some.library").warning("It said %s.", "so")
    ours, theirs = lines(stream)
    assert (ours["event"], ours["view"], ours["position"]) == ("It happened.", "journals", 7)
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("It said so.", "some.library", "warning")
    for line in (ours, theirs):
        assert (line["process"], line["request_id"], line["trace_id"]) == ("api-1", "r-1", "t-1")
        assert line["timestamp"].endswith("Z")
    assert ours["logger"] == "ledger.some.room"


class Heard(logging.Handler):
    """Somebody else who listens."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record)


def test_request_has_the_same_line_whoever_else_listens(stream: io.StringIO) -> None:
    configure("info", "json", process="api-1", stream=stream)
    log, other = RequestLog("ledger.some.access"), Heard()
    log.tell({"request_id": "r-1"}, method="GET", route="/livez", status=200, ms=0.4)
    for name in ("ledger.some.access", None):
        logging.getLogger(name).addHandler(other)
        log.tell({"request_id": "r-1"}, method="GET", route="/livez", status=200, ms=0.4)
        logging.getLogger(name).removeHandler(other)
    with bound_contextvars(request_id="r-1"):
        get_logger("ledger.some.access").info("request", method="GET", route="/livez", status=200, ms=0.4)
    alone, *beside, said = [{**line, "timestamp": "Z"} for line in lines(stream)]
    assert beside == [alone, alone]
    assert [list(line) for line in beside] == [list(alone)] * 2
    assert said == alone
    assert [record.msg["route"] for record in other.heard if isinstance(record.msg, dict)] == ["/livez"] * 2


def test_request_is_heard_by_level_and_filter_alike(stream: io.StringIO) -> None:
    log = RequestLog("ledger.filtered.access")
    configure("warning", "json", stream=stream)
    log.tell({}, status=200)
    configure("info", "json", stream=stream)
    logger, [output] = logging.getLogger("ledger.filtered.access"), logging.getLogger().handlers
    for where in (logger, output):
        where.addFilter(refuse := lambda _: False)
        log.tell({}, status=200)
        where.removeFilter(refuse)
    output.setLevel("ERROR")
    log.tell({}, status=200)
    output.setLevel("NOTSET")
    logger.disabled = True
    log.tell({}, status=200)
    logger.disabled = False
    assert stream.getvalue() == ""
    log.tell({}, status=204)
    assert [line["status"] for line in lines(stream)] == [204]


def test_request_whose_line_cannot_be_written_goes_on(capfd: pytest.CaptureFixture[str], stream: io.StringIO) -> None:
    configure("info", "json", stream=stream)
    stream.close()
    RequestLog("ledger.lost.access").tell({}, status=200)
    assert capfd.readouterr().err == ""


def test_levels_are_kept(stream: io.StringIO) -> None:
    configure("warning", "json", stream=stream)
    get_logger("ledger.room").info("quiet")
    get_logger("ledger.room").error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_requests_of_http_clients_are_never_logged(stream: io.StringIO) -> None:
    configure("debug", "json", stream=stream)
    for name in ("httpx", "httpcore.http11", "urllib3.connectionpool"):
        logging.getLogger(name).info("HTTP Request: GET https://example.test/%s", CANARY)
    assert stream.getvalue() == ""


def test_console_is_for_people_and_default_follows_the_stream(stream: io.StringIO) -> None:
    configure("info", "console", stream=stream)
    get_logger("ledger.room").info("It happened.", view="journals")
    assert "It happened." in stream.getvalue()
    assert "view=journals" in stream.getvalue()
    other = io.StringIO()
    configure("info", None, stream=other)
    get_logger("ledger.room").info("It happened.")
    assert lines(other)[0]["event"] == "It happened."


def by_our_logger() -> None:
    try:
        choke()
    except ValueError:
        get_logger("ledger.room").exception("failed")


def by_a_library() -> None:
    try:
        choke()
    except ValueError as error:
        logging.getLogger("uvicorn.error").error("failed", exc_info=error)  # noqa: TRY400 - as the server does it


def by_a_chain() -> None:
    try:
        try:
            choke()
        except ValueError as error:
            raise KeyError(CANARY) from error
    except KeyError:
        logging.getLogger("library").exception("failed")


def by_a_forgotten_task() -> None:
    async def forgets() -> None:
        async def fails() -> None:
            choke()

        task = asyncio.ensure_future(fails())
        await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(forgets())


def by_a_broken_line() -> None:
    logging.getLogger("library").warning("%d", CANARY)


def by_a_thread() -> None:
    thread = threading.Thread(target=choke)
    thread.start()
    thread.join()


def by_the_interpreter() -> None:
    try:
        choke()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)


class Finalised:
    def __del__(self) -> None:
        choke()


def by_a_finaliser() -> None:
    thing = Finalised()
    del thing
    gc.collect()


WAYS: list[Callable[[], None]] = [
    by_our_logger,
    by_a_library,
    by_a_chain,
    by_a_forgotten_task,
    by_a_thread,
    by_the_interpreter,
    by_a_finaliser,
]


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("way", WAYS)
def test_exception_is_told_by_kind_and_place_without_its_message(
    stream: io.StringIO, capfd: pytest.CaptureFixture[str], way: Callable[[], None], log_format: str
) -> None:
    configure("debug", log_format, stream=stream)
    way()
    printed = capfd.readouterr()
    logged = stream.getvalue()
    assert "ValueError" in logged
    assert "in choke" in logged
    assert CANARY not in logged + printed.out + printed.err
    assert json.dumps(CANARY)[1:-1] not in logged


def test_line_that_cannot_be_formatted_prints_no_arguments(
    stream: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    configure("debug", "json", stream=stream)
    by_a_broken_line()
    assert CANARY not in stream.getvalue() + capfd.readouterr().err


def test_warnings_go_to_the_log(stream: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    configure("info", "json", stream=stream)
    with warnings.catch_warnings():
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.simplefilter("always")
        warnings.warn("something is old", DeprecationWarning, stacklevel=1)
    assert "something is old" in lines(stream)[0]["event"]
    assert capfd.readouterr().err == ""
