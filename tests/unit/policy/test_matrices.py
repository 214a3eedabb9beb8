"""Every cell of who may record and who may read what: a change of a right is a change of this table."""

from __future__ import annotations

from uuid import UUID

import pytest

from ledger.errors import Forbidden
from ledger.policy.offices import COURSE_BOUND, RECORDING, Actor, Office, check_recording
from ledger.policy.reading import Denied, Granted, Relation, Resource, decide_reading

PERSON = UUID(int=7)

COLUMNS = [
    "system",
    "teacher",
    "class_teacher",
    "deputy_head",
    "director",
    "secretary",
    "auditor",
    "inspector",
    "student",
    "representative",
]

# A row a capability, a column an office (in the order above): + may record, . may not.
MAY_RECORD = {
    "found_school": "+ . . . + . . . . .",
    "school": "+ . . + + . . . . .",
    "permit_late_entry": ". . . + + . . . . .",
    "class_groups": "+ . . + + + . . . .",
    "courses": "+ . . + + . . . . .",
    "works": "+ + + + + . . . . .",
    "enrolment": "+ . . + + + . . . .",
    "representation": "+ . . + + + . . . .",
    "consents": "+ . . + + + . . + +",
    "requests": "+ . . + + + . . + +",
    "answers": "+ . . + + + . . . .",
    "hand_overs": ". . . + + + . . . .",
    "transfers": "+ . . + + + . . . .",
    "marks": "+ + + + + . . . . .",
    "results": "+ + + + + . . . . .",
    "achievements": "+ + + + + . . . . .",
    "awards": "+ . + + + + . . . .",
    "credits": "+ . . + + + . . . .",
    "imports": "+ . . . + . . . . .",
    "webhooks": "+ . . . + . . . . .",
    "log_keys": "+ . . . + . . . . .",
    "offices": ". . . . + . . . . .",
    "first_director": "+ . . . . . . . . .",
    "logins": ". . . . + + . . . .",
}

# A row an office and its relations (own or represents, teaches, leads); a column a resource, in the order of RESOURCES.
RESOURCES = [
    "student",
    "students",
    "journal",
    "marks",
    "portfolio",
    "retention",
    "disclosures",
    "history",
    "feed",
    "state",
    "register",
    "representatives",
    "consents",
    "requests",
    "access",
]
NOBODY, OWN, TEACHES, LEADS, BOTH, ALL = "...", "o..", ".t.", "..l", ".tl", "otl"
MAY_READ: dict[tuple[str, str], str] = {
    **{("system", relation): "+ + + + + + + + + + + + + + +" for relation in (NOBODY, OWN, TEACHES, LEADS, BOTH, ALL)},
    **{
        ("deputy_head", relation): "+ + + + + + + + + + + + + + +"
        for relation in (NOBODY, OWN, TEACHES, LEADS, BOTH, ALL)
    },
    **{
        ("director", relation): "+ + + + + + + + + + + + + + +" for relation in (NOBODY, OWN, TEACHES, LEADS, BOTH, ALL)
    },
    **{("auditor", relation): "+ + + + + + + + + + + + + + +" for relation in (NOBODY, OWN, TEACHES, LEADS, BOTH, ALL)},
    **{
        ("secretary", relation): "+ + . . + + . . . . . + + + ."
        for relation in (NOBODY, OWN, TEACHES, LEADS, BOTH, ALL)
    },
    **{
        ("inspector", relation): ". . . . . + + . . . + . + + +"
        for relation in (NOBODY, OWN, TEACHES, LEADS, BOTH, ALL)
    },
    **{
        (who, relation): ". . . . . . . . . . . . . . ."
        for who in ("student", "representative")
        for relation in (NOBODY, TEACHES)
    },
    **{
        (who, relation): ". . . . . . . . . . . . . . ."
        for who in ("student", "representative")
        for relation in (LEADS, BOTH)
    },
    **{
        (who, relation): "+ . . + + + + + . + . + + + ."
        for who in ("student", "representative")
        for relation in (OWN, ALL)
    },
    **{
        (who, relation): ". . . . . . . . . . . . . . ."
        for who in ("teacher", "class_teacher")
        for relation in (NOBODY, OWN)
    },
    **{(who, TEACHES): ". . + + . . . . . . . . . . ." for who in ("teacher", "class_teacher")},
    **{(who, LEADS): "+ + + + + . . . . + . + + . ." for who in ("teacher", "class_teacher")},
    **{
        (who, relation): "+ + + + + . . . . + . + + . ."
        for who in ("teacher", "class_teacher")
        for relation in (BOTH, ALL)
    },
}

PURPOSES = {
    "system": "record_keeping",
    "deputy_head": "quality_control",
    "director": "quality_control",
    "secretary": "custody",
    "auditor": "audit",
    "inspector": "inspection",
    "student": "own_request",
    "representative": "own_request",
    "teacher": "trajectory",
    "class_teacher": "trajectory",
}

RECORDING_CELLS = [
    (capability, office, cell == "+")
    for capability, row in MAY_RECORD.items()
    for office, cell in zip(COLUMNS, row.split(), strict=True)
]
READING_CELLS = [
    (office, relation, resource, cell == "+")
    for (office, relation), row in MAY_READ.items()
    for resource, cell in zip(RESOURCES, row.split(), strict=True)
]


def test_tables_have_every_capability_office_and_resource() -> None:
    assert set(MAY_RECORD) == set(RECORDING)
    assert set(COLUMNS) == {office.value for office in Office}
    assert set(RESOURCES) == {resource.value for resource in Resource}
    assert len(MAY_READ) == len(Office) * 6
    assert set(PURPOSES) == set(COLUMNS)


@pytest.mark.parametrize(("capability", "office", "allowed"), RECORDING_CELLS)
def test_office_records_exactly_what_the_table_says(capability: str, office: str, *, allowed: bool) -> None:
    actor = Actor(PERSON, Office(office))
    if allowed:
        check_recording(actor, capability)
        return
    with pytest.raises(Forbidden) as refused:
        check_recording(actor, capability)
    assert office in refused.value.detail
    for other in RECORDING[capability]:
        assert other.value in refused.value.help


@pytest.mark.parametrize(("office", "relation", "resource", "allowed"), READING_CELLS)
def test_office_reads_exactly_what_the_table_says(office: str, relation: str, resource: str, *, allowed: bool) -> None:
    how = Relation(
        own="o" in relation and office != "representative",
        represents="o" in relation and office == "representative",
        teaches="t" in relation,
        class_teacher="l" in relation,
    )
    decision = decide_reading(Actor(PERSON, Office(office)), Resource(resource), how)
    if allowed:
        assert isinstance(decision, Granted)
        assert decision.purpose == PURPOSES[office]
        assert decision.legal_basis
        assert decision.policy
    else:
        assert isinstance(decision, Denied)
        assert decision.reason
        assert decision.policy


def test_teachers_alone_are_bound_to_their_courses() -> None:
    assert {Office.TEACHER, Office.CLASS_TEACHER} == COURSE_BOUND


def test_permission_for_late_entries_is_not_given_by_programs() -> None:
    assert Office.SYSTEM not in RECORDING["permit_late_entry"]
