"""The main job over HTTP, step by step, on the example class: what `ledger demo --once` does after the import.

Every step goes through the service as its users do, says in one line what it did, and checks that it happened; the
marks, achievements and documents are invented, and say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from ledger.api.tokens import issue_token, load_token_key
from ledger.cli.client import Client, HttpFailed
from ledger.errors import LedgerError
from ledger.ids import new_id
from ledger.policy.offices import Actor, Office

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from ledger.bootstrap import Foundation

Json = dict[str, Any]

LESSON = ("78", "64.5", "91", "55", "83")
"""Marks of the lesson, invented."""

UNPROCESSABLE = 422
SHORT = timedelta(hours=1)
PAGE = 50


class StepFailed(LedgerError):
    """A step of the demo did not do what it must."""

    code = "step-failed"


def must(happened: object, what: str) -> None:
    """Passes if a step did what it must.

    Raises:
        StepFailed: it did not; says what was expected.
    """
    if not happened:
        raise StepFailed(f"The demo expected that {what}, and it is not so.", help="Start over: `ledger reset`.")


@dataclass(frozen=True, slots=True)
class Told:
    """What the story leaves for the steps after it."""

    student_id: str
    mark_position: int
    mark_event: str
    position: int


class Story:
    """One run of the main job.

    Args:
        base: whose key signs the tokens.
        url: where the service is.
        operator: under which id the director acts; the teacher is somebody new in each run.
        shown: the student whom the served demo shows; never transferred away.
        say: told one line by each step.
    """

    def __init__(self, base: Foundation, url: str, operator: UUID, shown: UUID, say: Callable[[str], None]) -> None:
        key = load_token_key(base.settings)

        def acts(office: Office, person: UUID) -> Client:
            return Client(url, issue_token(key, base.id, Actor(person, office), lifetime=SHORT))

        self._teacher_id = new_id()
        self._director = acts(Office.DIRECTOR, operator)
        self._teacher = acts(Office.TEACHER, self._teacher_id)
        self._auditor = acts(Office.AUDITOR, operator)
        self._shown = str(shown)
        self._say = say

    def run(self) -> Told:
        """Goes through all steps.

        Raises:
            StepFailed, HttpFailed: one of them did not do what it must.
        """
        course, work = self._course()
        day = date.fromisoformat(work["due_on"])
        pupils, leaver = self._pupils(course, day)
        self._assign(course, day)
        lesson = self._lesson(course, work, day, pupils)
        self._refuse(course, work, day, pupils[0])
        mark = next(event for event in lesson["events"] if event["topic"] == "marks.recorded")
        corrected = self._correct(course, pupils[0], mark["event_id"])
        achievement, award = self._honour(pupils[0])
        position = self._transfer(leaver)
        journal = self._journal(course, pupils[0], mark["event_id"], position)
        self._go_back(pupils[0], lesson["position"], corrected["position"])
        portfolio = self._portfolio(pupils[0], achievement, award, position)
        self._disclosures(pupils[0], journal, portfolio)
        self._retention(leaver, position)
        event = corrected["events"][-1]
        return Told(pupils[0], event["position"], event["event_id"], position)

    # --- recording --------------------------------------------------------------------------------------------------

    def _course(self) -> tuple[Json, Json]:
        for course in self._director.get("/v1/courses", limit=PAGE)["items"]:
            works = self._director.get(f"/v1/courses/{course['course_id']}/works")["items"]
            for work in works:
                if work["scale"] == "hundred" and work["due_on"]:
                    self._say(f"курс / course: {course['title']}, {len(works)} works; chosen: {work['title']}")
                    return course, work
        raise StepFailed("The ledger has no course of the example.", help="Start over: `ledger reset`.")

    def _pupils(self, course: Json, day: date) -> tuple[list[str], str]:
        """Returns some students who are in the class on the day of the lesson, and one who will be transferred."""
        found: list[str] = []
        for card in self._cards(course["group_id"]):
            memberships = [entry for entry in card["memberships"] if entry["group_id"] == course["group_id"]]
            there = any(_covers(entry, day) for entry in memberships)
            if card["status"] != "enrolled" or not there or card["student_id"] == self._shown:
                continue
            if len(found) < len(LESSON):
                found.append(card["student_id"])
            elif any(entry["ends_on"] is None for entry in memberships):
                return found, card["student_id"]
        raise StepFailed("The example class has no students left for a lesson.", help="Start over: `ledger reset`.")

    def _cards(self, group_id: str) -> Iterator[Json]:
        query: Json = {"group_id": group_id, "limit": PAGE}
        while True:
            page = self._director.get("/v1/students", **query)
            yield from page["items"]
            if page["next"] is None:
                return
            query["cursor"] = page["next"]

    def _assign(self, course: Json, day: date) -> None:
        form = {"teacher": str(self._teacher_id), "starts_on": day.isoformat()}
        self._director.post(f"/v1/courses/{course['course_id']}/teachers", form)
        self._say("учитель / teacher: assigned to the course by the director, from the day of the lesson")

    def _lesson(self, course: Json, work: Json, day: date, pupils: list[str]) -> Json:
        form = {
            "course_id": course["course_id"],
            "work_id": work["work_id"],
            "held_on": day.isoformat(),
            "entries": [
                {"student_id": student, "marks": [value], "comment": "Пример / an example"}
                for student, value in zip(pupils, LESSON, strict=True)
            ],
        }
        answer = self._teacher.post("/v1/lessons", form)
        marks = [event for event in answer["events"] if event["topic"] == "marks.recorded"]
        must(len(marks) == len(LESSON), "the lesson records a mark for each of its students")
        self._say(
            f"урок / lesson of {day}: {len(marks)} marks in one request,"
            f" positions {answer['first_position']:,} to {answer['position']:,}"
        )
        return answer

    def _refuse(self, course: Json, work: Json, day: date, student: str) -> None:
        form = {
            "course_id": course["course_id"],
            "student_id": student,
            "work_id": work["work_id"],
            "value": "101",
            "effective_on": day.isoformat(),
        }
        try:
            self._teacher.post("/v1/marks", form)
        except HttpFailed as refusal:
            codes = [violation["code"] for violation in refusal.problem.get("violations", [])]
            must(refusal.status == UNPROCESSABLE and codes == ["off_scale"], "a mark off the scale is refused as such")
            self._say(f"отказ / refusal: {refusal.problem['detail']}")
            return
        must(happened=False, what="a mark off the scale is refused")

    def _correct(self, course: Json, student: str, mark: str) -> Json:
        form = {"course_id": course["course_id"], "value": "87", "reason": "Пример: задание 3 проверено заново"}
        answer = self._teacher.post(f"/v1/students/{student}/marks/{mark}/corrections", form)
        self._say(f"исправление / correction: {LESSON[0]} → 87 with its reason; the old mark stays visible")
        return answer

    def _honour(self, student: str) -> tuple[str, str]:
        today = date.today() - timedelta(days=1)  # noqa: DTZ011 - yesterday is past in every zone of a school
        achievement = self._director.post(
            f"/v1/students/{student}/achievements",
            {
                "kind": "olympiad",
                "level": "municipal",
                "outcome": "winner",
                "title": "Пример: олимпиада",
                "achieved_on": today.isoformat(),
                "evidence": "Пример: диплом № 17",
            },
        )["id"]
        award = self._director.post(
            f"/v1/students/{student}/awards",
            {
                "form": "diploma",
                "sphere": "study",
                "title": "Пример: похвальная грамота",
                "basis": [achievement],
                "order": "Пример: приказ № 20",
                "granted_on": today.isoformat(),
            },
        )["id"]
        self._say("достижение и поощрение / achievement, and an award that rests on it, by an order")
        return achievement, award

    def _transfer(self, student: str) -> int:
        yesterday = date.today() - timedelta(days=1)  # noqa: DTZ011 - as above
        form = {
            "to_organisation": "Пример: школа № 2",
            "application": "Пример: заявление",
            "order": "Пример: приказ № 12",
            "effective_on": yesterday.isoformat(),
            "released": ["personal_file", "portfolio"],
        }
        position = int(self._director.post(f"/v1/students/{student}/transfers-out", form)["position"])
        self._say(f"перевод / transfer out of one student, file and portfolio handed over; position {position:,}")
        return position

    # --- reading ----------------------------------------------------------------------------------------------------

    def _journal(self, course: Json, student: str, mark: str, position: int) -> Json:
        query: Json = {"limit": PAGE, "min_position": position}
        while True:
            page = self._teacher.get(f"/v1/journals/{course['course_id']}", **query)
            line = next((line for line in page["lines"] if line["student_id"] == student), None)
            if line is not None or page["next"] is None:
                break
            query["cursor"] = page["next"]
        cells = line["cells"] if line else []
        cell = next((cell for cell in cells if cell["entry_id"] == mark), None)
        changes = cell["changes"] if cell else []
        must(cell and cell["value"] == "87", "the journal shows the corrected mark")
        must(changes and changes[0]["old_value"] == LESSON[0], "the journal shows the old mark with the correction")
        self._say(
            f"журнал / journal page: {len(page['lines'])} students × {len(page['works'])} works,"
            f" read by the teacher; {len(page['lines'])} disclosures recorded first"
        )
        return page

    def _go_back(self, student: str, before: int, after: int) -> None:
        found = self._director.get(f"/v1/students/{student}/diff", from_position=before, to_position=after)
        changes = found["changes"]
        fields = [{"field": "value", "old": LESSON[0], "new": "87"}]
        must(len(changes) == 1 and changes[0]["fields"] == fields, "the difference is the corrected mark")
        self._say(f"разница / difference of positions {before:,} and {after:,}: {changes[0]['text']}")

    def _portfolio(self, student: str, achievement: str, award: str, position: int) -> Json:
        page = self._director.get(f"/v1/students/{student}/portfolio", limit=PAGE, min_position=position)
        items = {item["item_id"]: item for item in page["items"]}
        must(achievement in items and award in items, "the portfolio shows the achievement and the award")
        must(items[award]["basis"] == [achievement], "the award names its basis")
        self._say(f"портфолио / portfolio: {len(items)} items; the award names the achievement that it rests on")
        return page

    def _disclosures(self, student: str, journal: Json, portfolio: Json) -> None:
        last = self._auditor.get("/v1/events", limit=1)["until"]
        page = self._auditor.get(f"/v1/students/{student}/disclosures", limit=PAGE, min_position=last)
        by_access = {item["access_id"]: item for item in page["items"]}
        for access, office in ((journal["access_id"], "teacher"), (portfolio["access_id"], "director")):
            must(access in by_access, "the register shows every access")
            must(by_access[access]["office"] == office, "the register shows in which office somebody looked")
        seen = by_access[journal["access_id"]]
        self._say(
            f"кто видел / who saw it: {len(page['items'])} accesses, among them the {seen['office']}"
            f" for {seen['purpose']} on {seen['legal_basis']}"
        )

    def _retention(self, student: str, position: int) -> None:
        page = self._auditor.get(f"/v1/students/{student}/retention", min_position=position)
        terms = [f"{line['record_class']} {line['due_on'] or line['status']}" for line in page["lines"]]
        must(terms, "every record class has its term, or says that none is set")
        self._say(f"сроки хранения / retention of the transferred student: {', '.join(terms)}")


def _covers(membership: Json, day: date) -> bool:
    begins, ends = membership["starts_on"], membership["ends_on"]
    return (begins is None or begins <= day.isoformat()) and (ends is None or day.isoformat() <= ends)
