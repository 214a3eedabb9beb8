"""A whole service as a state machine: people record and read, and everything that can die dies.

A run has a ledger of its own on a `Site`: a writer here behind a wire that can be cut, a second writer in another
process, a projector and a sealer in theirs. After each step the log and all that was answered must be what the `Book`
says; at the end views equal a replay, the sealed log verifies, keys are answered as before (`Run.ends`).

The steps come from Hypothesis, so a seed gives the same ones again. What runs at once takes as long as it takes, so a
failure that hangs on a moment may need its seed several times; `try_service` says how to replay it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, cast

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ledger.aggregates.student import marks_lane
from ledger.application.disclose.journals import read_journal
from ledger.application.disclose.portfolios import read_portfolio
from ledger.errors import Busy, OutcomeUnknown, StoreUnavailable
from ledger.ids import new_id
from tests.support.book import Said
from tests.support.crew import Bounds
from tests.support.desk import DIRECTOR, TEACHER, an_audit, reads
from tests.support.errands import KINDS, LONG_KINDS, Errand, a_command
from tests.support.faults import planted
from tests.support.jumping_clock import is_behind, jump
from tests.support.school import YEAR
from tests.support.service_run import Run, Tally, recorded
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from ledger.application.disclose.shown import JournalPage
    from tests.support.site import Site

    P = ParamSpec("P")

TOLERANCE_S = 60.0
"""How far behind the database's clock may be before the ledger refuses to record."""

NOT_NOW = (Busy, StoreUnavailable, OutcomeUnknown)
"""What a reader may be told: the projector has only just begun, or the impatient writer's wire was cut before."""

HARD = ("connections",) * 10 + ("server", "power")
"""What becomes of the database, as often as it shall come: a restart takes a quarter of a second."""

which = st.integers(0, 19)
days = st.integers(0, 20) | st.just(-1)
errands = st.builds(Errand, st.sampled_from(KINDS), which, which, days)
long_errands = st.builds(Errand, st.sampled_from(LONG_KINDS), which, which, st.integers(0, 20), st.just(value=True))
doors = st.sampled_from(("here", "here", "elsewhere"))
pauses = st.sampled_from((0.0, 0.0, 0.0005, 0.001, 0.002, 0.004, 0.008))
several = st.lists(st.tuples(errands, doors), min_size=2, max_size=6)


def step(function: Callable[P, None]) -> Callable[P, None]:
    """Counts a step, and tells of the first that fails."""

    @wraps(function)
    def counted(*args: P.args, **kwargs: P.kwargs) -> None:
        machine = cast("ServiceMachine", args[0])
        machine.tally.steps += 1
        began = time.perf_counter()
        try:
            function(*args, **kwargs)
        except Exception as error:
            machine.tally.failed(error)
            raise
        finally:
            machine.tally.took(function.__name__, time.perf_counter() - began)

    return counted


class ServiceMachine(RuleBasedStateMachine):
    """The steps; see the module."""

    def __init__(self, site: Site, tally: Tally, fault: str | None = None) -> None:
        super().__init__()
        self.site = site
        self.tally = tally
        self.fault = fault
        self._run: Run | None = None

    @property
    def run(self) -> Run:
        """What is going on, from the first step on."""
        assert self._run is not None
        return self._run

    @initialize(lanes=st.sampled_from((0, 8, 8, 100)), batch=st.sampled_from((2, 5, 100)), patient=st.booleans())
    def opens(self, lanes: int, batch: int, *, patient: bool) -> None:
        """Begins with a ledger of its own."""
        bounds = Bounds(lanes, batch, 4, 15.0 if patient else 0.02)
        self._run = Run(self.site, bounds, self.tally, self.fault)

    def teardown(self) -> None:
        """Checks everything at the end of a run that has gone well, and ends it in any case."""
        failed = sys.exc_info()[0] is not None
        if self._run is None:
            return
        try:
            if not failed:
                began = time.perf_counter()
                self._run.ends()
                self.tally.took("ends", time.perf_counter() - began)
        except Exception as error:
            self.tally.failed(error)
            raise
        finally:
            self._run.close()

    # --- people record ----------------------------------------------------------------------------------------------

    @rule(errand=errands, door=doors, keyed=st.integers(0, 3))
    @step
    def somebody_records(self, errand: Errand, door: str, keyed: int) -> None:
        self.run.records(*self.run.attempts(door, errand, keyed=bool(keyed)))

    @rule(errand=errands, door=doors)
    @step
    def somebody_records_and_is_asked_again(self, errand: Errand, door: str) -> None:
        [first] = self.run.attempts(door, errand)
        self.run.records(first)
        other = "here" if door == "elsewhere" else "elsewhere"
        self.run.records(self.run.again(other, self.run.asked[-1]))

    @rule(wanted=several)
    @step
    def many_record_at_once(self, wanted: list[tuple[Errand, str]]) -> None:
        self.run.records(*(one for errand, door in wanted for one in self.run.attempts(door, errand)))

    @rule(wanted=st.lists(errands, min_size=3, max_size=20))
    @step
    def a_bulk_request_comes(self, wanted: list[Errand]) -> None:
        attempts = self.run.attempts("here", *wanted, sequence=new_id())
        self.run.does(self.run.here.ask(*attempts, in_order=True))
        self.run.settles(*attempts)

    @rule(errand=errands, number=which)
    @step
    def one_key_is_sent_to_both_at_once(self, errand: Errand, number: int) -> None:
        first = self.run.attempts("here", errand)
        asked = self.run.asked[-1]
        again = [self.run.again(door, asked) for door in ("elsewhere", "here")[: 1 + number % 2]]
        self.run.records(*first, *again)
        answers = {one.first_position for one in recorded(*first, *again)}
        assert len(answers) <= 1, f"One key was recorded at {answers}."

    @rule(errand=errands, other=st.integers(0, 3))
    @step
    def two_correct_what_both_have_seen(self, errand: Errand, other: int) -> None:
        wanted = replace(errand, kind="correct_if_match", student=1)
        attempts = [
            *self.run.attempts("here", wanted),
            *self.run.attempts("elsewhere", replace(wanted, ago=errand.ago + 1)),
            *self.run.attempts("here", *([replace(wanted, ago=errand.ago + 2)] * (other == 0))),
        ]
        self.run.records(*attempts)
        assert len(recorded(*attempts)) <= 1, "Two changes were made on one state."

    @rule(number=st.integers(0, 200), door=doors)
    @step
    def somebody_asks_again(self, number: int, door: str) -> None:
        if asked := self.run.asked:
            self.run.records(self.run.again(door, asked[-1 - number % len(asked)]))

    @rule(number=st.integers(0, 200), door=doors, errand=errands)
    @step
    def somebody_uses_a_key_for_something_else(self, number: int, door: str, errand: Errand) -> None:
        wish = a_command(errand, self.run.site.town, self.run.book)
        if asked := self.run.asked:
            self.run.records(self.run.again(door, asked[-1 - number % len(asked)], wish))

    # --- people read ------------------------------------------------------------------------------------------------

    @rule(course=st.integers(0, 1), director=st.booleans(), own=st.booleans())
    @step
    def somebody_reads_a_journal(self, course: int, *, director: bool, own: bool) -> None:
        run = self.run
        run.settles()
        reader, before = reads(DIRECTOR if director else TEACHER), run.book.position
        run.book.readings[reader.request_id] = []
        pages: list[JournalPage] = []

        async def read() -> None:
            least = before if own and run.projector.alive else 0  # `own`: reads what was just written
            course_id = run.site.town.courses[course]
            try:
                page = await read_journal(run.here.ledger, reader, course_id, after=None, limit=50, min_position=least)
            except NOT_NOW:
                return
            pages.append(page)

        run.does(read())
        run.settles()
        accesses = run.book.readings[reader.request_id]
        assert len(accesses) >= len(pages)
        for page in pages:
            self._is_true(page, before, {fact.entry.subject_id for fact in accesses[1:]})

    def _is_true(self, page: JournalPage, before: int, disclosed: set[UUID]) -> None:
        """Passes if nobody is shown who was not disclosed, and what is shown is what stands in the book."""
        assert {line.student_id for line in page.lines} <= disclosed
        if page.position < before:
            return
        for line in page.lines:
            lane = self.run.book.get(marks_lane(line.student_id, YEAR))
            course = page.course.course_id
            marks = {} if lane is None else lane.state.marks.items()
            wanted = {
                (key, mark.value, mark.voided, f'"m{mark.version}"') for key, mark in dict(marks).items()
                if mark.course_id == course
            }  # fmt: skip
            shown = {
                (cell.entry_id.bytes, cell.value, cell.voided, cell.etag) for cell in line.cells if cell.kind == "mark"
            }
            assert shown == wanted, "A journal shows other marks than were recorded."

    @rule(number=which, own=st.booleans())
    @step
    def somebody_reads_a_portfolio(self, number: int, *, own: bool) -> None:
        run = self.run
        run.settles()
        student = run.book.students[number % len(run.book.students)]
        reader, before = reads(DIRECTOR), run.book.position
        run.book.readings[reader.request_id] = []
        shown: list[set[UUID]] = []

        async def read() -> None:
            least = before if own and run.projector.alive else 0  # `own`: reads what was just written
            try:
                page = await read_portfolio(run.here.ledger, reader, student, after=None, limit=50, min_position=least)
            except NOT_NOW:
                return
            if page.position >= before:
                shown.append({item.item_id for item in page.items if item.kind == "achievement"})

        run.does(read())
        run.settles()
        for ids in shown:
            assert {one for owner, one in run.book.achievements if owner == student} == ids
            assert run.book.readings[reader.request_id]

    # --- wires break, processes die ---------------------------------------------------------------------------------

    @rule(errand=long_errands, others=st.lists(errands, max_size=2))
    @step
    def an_answer_is_lost_after_the_commit(self, errand: Errand, others: list[Errand]) -> None:
        run, proxy = self.run, self.run.here.proxy
        attempts = run.attempts("here", errand, *others, keyed=bool(errand.number % 3))
        before = self._last()

        async def lose() -> None:
            proxy.swallow_long = True
            asking = asyncio.create_task(run.here.ask(*attempts))
            try:
                await until(lambda: asking.done() or not proxy.swallow_long)
                await until(lambda: asking.done() or self._last() > before, seconds=0.1)
            except TimeoutError:
                pass  # somebody else had moved what it was decided on, and that answer is lost
            proxy.swallow_long = False
            proxy.cut()
            await asking

        run.does(lose())
        run.settles(*attempts)

    def _last(self) -> int:
        row = self.run.owner.execute("SELECT max(position) FROM events").fetchone()
        assert row is not None
        return int(row[0])

    @rule(errand=long_errands)
    @step
    def a_wire_is_cut_before_the_commit(self, errand: Errand) -> None:
        run, proxy = self.run, self.run.here.proxy
        attempts = run.attempts("here", errand)

        async def cut() -> None:
            before, proxy.cut_long = proxy.connections, True
            asking = asyncio.create_task(run.here.ask(*attempts))
            await until(lambda: asking.done() or proxy.connections > before)
            proxy.cut_long = False
            await asking

        run.does(cut())
        run.settles(*attempts)

    @rule(wanted=st.lists(errands, max_size=4), turns=st.integers(0, 60), pause=pauses)
    @step
    def the_writer_here_crashes(self, wanted: list[Errand], turns: int, pause: float) -> None:
        run = self.run
        attempts = run.attempts("here", *wanted)

        async def crash() -> None:
            asking = asyncio.create_task(run.here.ask(*attempts))
            for _ in range(turns):
                await asyncio.sleep(0)
            await asyncio.sleep(pause)
            await run.here.crash()
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.result()
            await run.here.open()

        run.does(crash())
        run.settles(*attempts)

    @rule(wanted=st.lists(errands, max_size=4), pause=pauses)
    @step
    def the_writer_elsewhere_is_killed(self, wanted: list[Errand], pause: float) -> None:
        run = self.run
        attempts = run.attempts("elsewhere", *wanted)

        async def kill() -> None:
            if run.elsewhere.process is None:
                run.elsewhere.start()
            run.elsewhere.send(*attempts)
            await asyncio.sleep(pause)
            run.elsewhere.kill()

        run.does(kill())
        run.settles(*attempts)

    @rule(projector=st.booleans(), sealer=st.booleans(), again=st.booleans())
    @step
    def projector_or_sealer_are_killed(self, *, projector: bool, sealer: bool, again: bool) -> None:
        for worker, dies in ((self.run.projector, projector), (self.run.sealer, sealer)):
            if dies:
                worker.kill()
            if again or not dies:
                worker.start()

    @rule(wanted=several, pause=pauses, hard=st.sampled_from(HARD))
    @step
    def the_database_goes_away(self, wanted: list[tuple[Errand, str]], pause: float, hard: str) -> None:
        run = self.run
        attempts = [one for errand, door in wanted for one in run.attempts(door, errand)]

        async def goes() -> None:
            asking = asyncio.create_task(run.ask(*attempts))
            await asyncio.sleep(pause)
            await asyncio.to_thread(self._kills_database, hard)
            await asking

        run.does(goes())
        run.connect()
        run.settles(*attempts)

    def _kills_database(self, hard: str) -> None:
        server = self.run.site.server
        if server is None or hard == "connections":
            self.run.owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return
        if hard == "power":
            server.kill()
            server.is_buried()
        else:
            server.stop("immediate")
        server.start()

    # --- time, and what is only kept to be quick --------------------------------------------------------------------

    @rule(seconds=st.sampled_from((-3_600, -50, -20, -5, 20, 3_600, 86_400)), errand=errands, also=st.booleans())
    @step
    def the_clock_jumps(self, seconds: int, errand: Errand, *, also: bool) -> None:
        run = self.run
        jump(run.owner, seconds)
        behind = is_behind(run.owner)
        if TOLERANCE_S - 10 < behind < TOLERANCE_S + 10:  # so near that it depends on how quick we are
            jump(run.owner, 20)
        elif behind > TOLERANCE_S:
            self._is_alarmed("here", errand)
            run.does(self._starts_again())
            self._is_alarmed("here", errand)
            if also:
                self._is_alarmed("elsewhere", errand)
                run.elsewhere.kill()
            jump(run.owner, behind)
            run.does(self._starts_again())
        run.records(*run.attempts("here", errand))

    async def _starts_again(self) -> None:
        await self.run.here.close()
        await self.run.here.open()

    def _is_alarmed(self, door: str, errand: Errand) -> None:
        """Passes if a writer records nothing on a clock that went back, and goes on refusing."""
        run = self.run
        first, second = run.attempts(door, errand, replace(errand, kind="enrol"))
        run.records(first)
        run.records(second)
        assert isinstance(second.answer, Said)
        assert second.answer.code == "history-alarm", second.answer
        assert not first.positions
        assert not second.positions

    @rule(number=which, alone=st.integers(0, 7))
    @step
    def a_view_is_rebuilt(self, number: int, alone: int) -> None:
        run = self.run
        if alone == 0:
            views = run.base.views
            run.base.runner().rebuild([views[number % len(views)]])
        elif alone == 1:
            report = an_audit(run.base)
            assert report.equal, report.findings[:5]

    @rule(snapshots=st.booleans(), lanes=st.booleans())
    @step
    def what_is_kept_to_be_quick_is_lost(self, *, snapshots: bool, lanes: bool) -> None:
        run = self.run
        run.keeps_checkpoint()
        if snapshots:
            run.owner.execute("DELETE FROM snapshots")
        if lanes:
            run.here.ledger.executor._writer.cache.clear()


def try_service(
    site: Site, *, seed_: int, runs: int, steps: int, tally: Tally, fault: str | None = None, shrinking: bool = True
) -> None:
    """Tries so many runs of so many steps; raises what the first failing one raised.

    Args:
        seed_: gives the same steps again.
        fault: one of `FAULTS`, to be found.
        shrinking: whether to look for the shortest steps that fail, and to keep them for the next time.
    """

    def begin() -> ServiceMachine:
        return ServiceMachine(site, tally, fault)

    phases: list[Any] = [Phase.generate] if not shrinking else [Phase.reuse, Phase.generate, Phase.shrink]
    with planted(fault):
        run_state_machine_as_test(
            cast("type[ServiceMachine]", seed(seed_)(begin)),  # Hypothesis takes whatever makes a machine
            settings=settings(
                max_examples=runs,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=phases,
                report_multiple_bugs=False,
                print_blob=False,
            ),
        )
