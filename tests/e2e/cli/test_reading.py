"""`ledger replay` and `ledger disclosures`: what they show, and that showing it is recorded."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from tests.support.cli import count_events

if TYPE_CHECKING:
    import psycopg

    from ledger.store.database import Row
    from tests.e2e.cli.conftest import Imported
    from tests.support.cli import Json

BORIS = "tests:boris"


@pytest.fixture(scope="module", autouse=True)
def _looked_at(tiny: Imported) -> None:
    """Somebody has looked at him already, whichever test comes first."""
    tiny.cli.works("replay", BORIS)


def _register(tiny: Imported, student: str = BORIS) -> list[Json]:
    return tiny.cli.works("disclosures", student, "--json").lines[:-1]


def test_replay_tells_a_students_events_in_order_and_names_the_access(tiny: Imported) -> None:
    *events, last = tiny.cli.works("replay", BORIS, "--json").lines
    topics = [event["topic"] for event in events]
    assert topics[:3] == ["student.enrolled", "student.moved_to_group", "student.left_group"]
    assert "marks.recorded" in topics
    assert [event["position"] for event in events] == sorted(event["position"] for event in events)
    assert last["events"] == len(events)
    seen = _register(tiny)
    assert [(line["resource"], line["channel"], line["office"]) for line in seen[:2]] == [
        ("history", "cli", "auditor"),
        ("student", "cli", "auditor"),
    ]


def test_every_replay_stands_in_the_register_with_office_and_actor(tiny: Imported) -> None:
    actor = str(uuid4())
    student = tiny.cli.works("replay", BORIS, "--json").last["student_id"]
    tiny.cli.works("replay", student, "--office", "director", "--actor", actor)
    seen = [line for line in _register(tiny) if line["actor"] == actor]
    assert [(line["resource"], line["office"], line["purpose"]) for line in seen] == [
        ("history", "director", "quality_control")
    ]


def test_replay_as_of_a_day_shows_only_what_had_happened(tiny: Imported) -> None:
    def topics(*options: str) -> list[str]:
        lines = tiny.cli.works("replay", BORIS, "--json", *options).lines[:-1]
        return [line["topic"] for line in lines]

    assert "disclosure.made" in topics()
    assert "disclosure.made" not in topics("--as-of", "2024-09-19")
    assert "marks.recorded" not in topics("--as-of", "2024-09-19")
    assert "marks.recorded" in topics("--as-of", "2024-09-20")
    assert "student.left_group" not in topics("--as-of", "2025-01-31")


def test_replay_for_people_has_the_schools_words(tiny: Imported) -> None:
    shown = tiny.cli.works("replay", BORIS).out
    assert "Зачислен / enrolled: фамилия / family name Borisov; имя / given name Boris" in shown
    assert "Отметка / mark: " in shown
    assert "значение / value 3" in shown
    assert "Этот просмотр записан / this access was recorded." in shown


def test_replay_names_courses_works_and_groups_and_not_their_ids(tiny: Imported) -> None:
    shown = tiny.cli.works("replay", BORIS).out
    (mark,) = [line for line in shown.splitlines() if "Отметка / mark:" in line]
    assert "курс / course Algebra; работа / work Test 1" in mark
    assert "класс / class group Algebra 7A" in shown


def test_replay_at_a_position_or_time_shows_only_what_had_been_recorded(tiny: Imported) -> None:
    *events, _ = tiny.cli.works("replay", BORIS, "--json").lines
    marked = next(event for event in events if event["topic"] == "marks.recorded")
    until = [event for event in events if event["position"] <= marked["position"]]
    *then, last = tiny.cli.works("replay", BORIS, "--json", "--at", str(marked["position"])).lines
    assert then == until
    assert (last["events"], last["at_position"]) == (len(until), marked["position"])
    *by_time, _ = tiny.cli.works("replay", BORIS, "--json", "--known-at", marked["recorded_at"]).lines
    assert then == by_time[: len(then)]
    assert all(event["recorded_at"] <= marked["recorded_at"] for event in by_time)
    tiny.cli.fails("replay", BORIS, "--at", "1", "--known-at", "2020-01-01", code=2)


def test_diff_tells_what_became_of_a_student_by_whom_and_why(tiny: Imported) -> None:
    before = len(_register(tiny))
    shown = tiny.cli.works("diff", BORIS, "--from", "0").out
    assert "+ Отметка / mark, добавлено / added: Algebra, Test 1, 2024-09-20: значение / value 3" in shown
    assert "Отметка / mark, записано / recorded" in shown
    assert "Этот просмотр записан / this access was recorded." in shown
    after = [line["resource"] for line in _register(tiny)]
    assert after[: len(after) - before].count("state") == 1
    found = tiny.cli.works("diff", BORIS, "--from", "2020-01-01", "--json").last
    assert {change["what"] for change in found["changes"]} == {"card", "membership", "mark"}
    assert found["before"] == {"position": 0, "recorded_at": None, "effective_on": None}


def test_diff_of_two_days_on_which_things_happened(tiny: Imported) -> None:
    def kinds(*options: str) -> list[tuple[str, str]]:
        found = tiny.cli.works("diff", BORIS, "--happened", "--json", *options).last
        return [(change["kind"], change["what"]) for change in found["changes"]]

    assert kinds("--from", "2024-09-19", "--to", "2024-09-20") == [("added", "mark")]
    assert kinds("--from", "2024-09-20") == [("changed", "membership")]
    assert "lies after" in tiny.cli.fails("diff", BORIS, "--from", "5", "--to", "4").error


def test_disclosures_as_csv_have_a_header_and_the_newest_line_first(tiny: Imported) -> None:
    rows = list(csv.DictReader(tiny.cli.works("disclosures", BORIS, "--csv").out.splitlines()))
    assert {"recorded_at", "actor", "office", "purpose", "legal_basis", "categories"} <= set(rows[0])
    positions = [int(row["position"]) for row in rows]
    assert positions == sorted(positions, reverse=True)
    assert rows[0]["channel"] == "cli"


def test_register_of_everybody_is_exported_filtered_as_one_access(
    tiny: Imported, owner: psycopg.Connection[Row]
) -> None:
    actor = str(uuid4())
    student = tiny.cli.works("replay", BORIS, "--json").last["student_id"]
    tiny.cli.works("replay", student, "--actor", actor, "--office", "director")
    before = count_events(owner)
    done = tiny.cli.works("disclosures", "export", "--person", actor)
    (line,) = done.lines
    assert (line["actor"], line["resource"], line["student_id"]) == (actor, "history", student)
    assert "Эта выгрузка записана" in done.err
    assert count_events(owner) == before + 2
    rows = list(csv.DictReader(tiny.cli.works("disclosures", "export", "--csv", "--person", actor).out.splitlines()))
    assert [row["position"] for row in rows] == [str(line["position"])]
    assert tiny.cli.works("disclosures", "export", "--person", actor, "--to", "2020-01-01").out == ""
    assert tiny.cli.works("disclosures", "export", "--student", BORIS, "--person", actor).lines == [line]
    tiny.cli.fails("disclosures", "export", "--from", "12", code=2)


def test_findings_name_their_events_and_the_look_at_them_is_recorded(
    tiny: Imported, owner: psycopg.Connection[Row]
) -> None:
    before = count_events(owner)
    found = tiny.cli.works("findings", "--json").last
    assert found["accesses"] > 0
    assert count_events(owner) == before + 1
    assert "Находок / findings:" in tiny.cli.works("findings", "--kind", "burst").out


def test_everything_that_commands_opened_was_disclosed(tiny: Imported) -> None:
    tiny.cli.works("replay", BORIS)
    tiny.cli.works("disclosures", BORIS)
    told = tiny.cli.works("reconcile", "--json").last
    assert (told["equal"], told["coverage"], told["uncovered"], told["unknown"]) == (True, 1.0, 0, 0)
    assert told["covered"] > 3
    assert "100.0000%" in tiny.cli.works("reconcile").out


def test_disclosures_for_people_say_who_and_why(tiny: Imported) -> None:
    shown = tiny.cli.works("disclosures", BORIS).out
    assert "цель / purpose audit" in shown
    tiny.cli.fails("disclosures", BORIS, "--csv", "--json", code=2)


def test_refused_office_is_told_so_and_the_refusal_is_recorded(tiny: Imported) -> None:
    student = tiny.cli.works("replay", BORIS, "--json").last["student_id"]
    failed = tiny.cli.fails("replay", student, "--office", "secretary")
    assert failed.error.startswith("The secretary reads what they keep")
    assert failed.out == ""
    refused = [line for line in _register(tiny) if not line["granted"]]
    assert [(line["office"], line["resource"]) for line in refused] == [("secretary", "history")]
    assert "ОТКАЗ / REFUSED" in tiny.cli.works("disclosures", student).out


def test_operator_keeps_one_opaque_id(tiny: Imported) -> None:
    _register(tiny)
    looks = [line["actor"] for line in _register(tiny) if line["office"] == "auditor"]
    actors = set(looks)
    assert len(looks) > len(actors) == 1
    assert UUID(actors.pop()).version == 7


@pytest.mark.parametrize("office", ["student", "representative", "king"])
def test_those_who_speak_for_a_student_use_the_service(office: str, tiny: Imported) -> None:
    tiny.cli.fails("replay", BORIS, "--office", office, code=2)


@pytest.mark.parametrize("name", ["boris", "tests:", ":boris", "123"])
def test_student_is_a_uuid_or_source_and_foreign_id(name: str, tiny: Imported) -> None:
    assert "SOURCE:FOREIGN_ID" in tiny.cli.fails("replay", name, code=2).err


def test_unknown_student_is_an_error_and_nothing_is_recorded(tiny: Imported, owner: psycopg.Connection[Row]) -> None:
    before = count_events(owner)
    for name in (str(uuid4()), "tests:nobody"):
        for command in ("replay", "disclosures"):
            assert tiny.cli.fails(command, name).error in (
                "There is no such student.",
                "No student that you may see has this foreign id.",
            )
    assert count_events(owner) == before


def test_day_that_is_none_is_a_usage_error(tiny: Imported) -> None:
    tiny.cli.fails("replay", BORIS, "--as-of", "2024-13-01", code=2)
