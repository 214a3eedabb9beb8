"""The stock part: the `eventsourcing` library as it comes, unencrypted, without rules or idempotency.

An aggregate with one event class as its documentation shows it, saved by its own application and recorder.
"""

from __future__ import annotations

import random
import threading
import time
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import unquote
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    Produce = Callable[[list["StockStudent"], random.Random], int]

STUDENTS = 3_200
CONNECTIONS = 32
"""Connections of the stock pool; more of them make it slower, since its table lock lets one writer in at a time."""


DAY = date(2025, 10, 1)


class StockStudent(Aggregate):
    """A student whose marks are events."""

    def __init__(self) -> None:
        self.marks = 0

    class MarkRecorded(Aggregate.Event):
        """The same content as our event, in the library's JSON."""

        course_id: UUID
        work_id: UUID
        scale: str
        value: str
        effective_on: str
        comment: str

        def apply(self, aggregate: StockStudent) -> None:
            """Counts the mark."""
            aggregate.marks += 1

    def record_mark(self, course_id: UUID, work_id: UUID, value: str, day: date = DAY, comment: str = "") -> None:
        """Triggers the event."""
        self.trigger_event(
            self.MarkRecorded,
            course_id=course_id,
            work_id=work_id,
            scale="five",
            value=value,
            effective_on=day.isoformat(),
            comment=comment,
        )


def stock_environment(url: str, schema: str, connections: int) -> dict[str, str]:
    """Returns the library's settings for a pool of so many connections (and as many in need)."""
    parts = conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parts.get("dbname", "ledger")),
        "POSTGRES_HOST": unquote(str(parts.get("host", "127.0.0.1"))),
        "POSTGRES_PORT": str(parts.get("port", "5432")),
        "POSTGRES_USER": str(parts.get("user", "postgres")),
        "POSTGRES_PASSWORD": str(parts.get("password", "")),
        "POSTGRES_SCHEMA": schema,
        "POSTGRES_POOL_SIZE": str(connections),
        "POSTGRES_MAX_OVERFLOW": str(connections),
    }


def stock_application(url: str, schema: str, connections: int) -> Application[UUID]:
    """Returns the library's own application with a pool of so many connections (and as many in need)."""
    return Application(stock_environment(url, schema, connections))


class StockBench:
    """Stock producers in threads: every thread has its own students, so nobody conflicts."""

    def __init__(self, url: str, schema: str) -> None:
        self._application = stock_application(url, schema, CONNECTIONS)
        self._students = [StockStudent() for _ in range(STUDENTS)]
        for first in range(0, STUDENTS, 100):  # its pipeline stalls for ever when thousands are saved at once
            self._application.save(*self._students[first : first + 100])

    @property
    def students(self) -> list[UUID]:
        """The ids of the students that it made."""
        return [student.id for student in self._students]

    def close(self) -> None:
        """Closes the pool."""
        self._application.close()

    def single_marks(self, producers: int, seconds: float, course_id: UUID, work_id: UUID) -> float:
        """Returns events per second of producers that save one mark each at a time."""

        def produce(students: list[StockStudent], chooser: random.Random) -> int:
            student = chooser.choice(students)
            student.record_mark(course_id, work_id, "5")
            self._application.save(student)
            return 1

        return self._run(producers, seconds, produce)

    def lessons(self, producers: int, seconds: float, course_id: UUID, work_id: UUID, size: int) -> float:
        """Returns events per second of producers that save a lesson's marks in one call."""

        def produce(students: list[StockStudent], chooser: random.Random) -> int:
            lesson = chooser.sample(students, size)
            for student in lesson:
                student.record_mark(course_id, work_id, "5")
            self._application.save(*lesson)
            return size

        return self._run(producers, seconds, produce)

    def some_lessons(self, count: int, size: int, course_id: UUID, work_id: UUID) -> None:
        """Saves so many lessons, one after the other."""
        chooser = random.Random(count)  # noqa: S311 - choosing students for a measurement
        for _ in range(count):
            lesson = chooser.sample(self._students, size)
            for student in lesson:
                student.record_mark(course_id, work_id, "5")
            self._application.save(*lesson)

    def _run(self, producers: int, seconds: float, produce: Produce) -> float:
        share = len(self._students) // producers
        counts = [0] * producers
        failures: list[BaseException] = []
        begin = threading.Barrier(producers + 1)
        until = [0.0]

        def work(number: int) -> None:
            students = self._students[number * share : (number + 1) * share]
            chooser = random.Random(number)  # noqa: S311 - choosing students for a measurement
            begin.wait()
            try:
                while time.perf_counter() < until[0]:
                    counts[number] += produce(students, chooser)
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(producers)]
        for thread in threads:
            thread.start()
        started = time.perf_counter()
        until[0] = started + seconds
        begin.wait()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return sum(counts) / (time.perf_counter() - started)
