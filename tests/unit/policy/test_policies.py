"""Policies are data that a lawyer reads: each is valid, annotated from closed lists, and stands in docs/policies.md."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields, replace
from pathlib import Path
from uuid import UUID

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.policy import engine
from ledger.policy.engine import ACTIONS, SUBJECTS, Policy, Purpose, book, register
from ledger.policy.offices import GROUPS, Actor, Office
from ledger.policy.reading import (
    PURPOSE_OF,
    Asking,
    Decision,
    Denied,
    Granted,
    Relation,
    Resource,
    decide_reading,
    knows_of_everybody,
    personal,
)
from tests.support.policies import PAGE, page_with, tables

PERSON, STUDENT, OTHER = UUID(int=7), UUID(int=8), UUID(int=9)
LEADS = Relation(class_teacher=True)
KEYS = {"id", "purpose", "legal_basis", "ru", "en"}
ALL = book().policies


def decide(
    office: Office, resource: Resource, relation: Relation | None = None, asking: Asking | None = None
) -> Decision:
    return decide_reading(Actor(PERSON, office), resource, relation or Relation(), asking or Asking())


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", SUBJECTS)
def test_policies_are_valid_by_the_schema(subject: str) -> None:
    text = (engine._FOLDER / f"{subject}.cedar").read_text(encoding="utf-8")
    found = cedarpy.validate_policies(text, engine.schema())
    assert found.validation_passed, found.errors
    for said in (
        one["annotations"] for one in json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"].values()
    ):
        assert said.keys() in (KEYS, KEYS | {"otherwise_ru", "otherwise_en"}), said["id"]


def test_schema_refuses_what_nobody_declared() -> None:
    """The validation proves something: a fact, an action or a purpose that is misspelled is an error."""
    text = (engine._FOLDER / "teachers.cedar").read_text(encoding="utf-8")
    for right, wrong in (("context.teaches", "context.teachs"), ("read_journal", "read_jurnal")):
        assert right in text
        assert not cedarpy.validate_policies(text.replace(right, wrong), engine.schema()).validation_passed


def test_every_file_of_policies_is_read_and_every_id_is_its_own() -> None:
    names = {item.name.removesuffix(".cedar") for item in engine._FOLDER.iterdir() if item.name.endswith(".cedar")}
    assert names == set(SUBJECTS)
    assert {policy.subject for policy in ALL} == names
    assert len({policy.id for policy in ALL}) == len(ALL)


def test_schema_knows_the_facts_and_actions_that_the_program_hands_over() -> None:
    declared = set(re.findall(r"^ {4}(\w+): (?:Bool|String)", engine.schema(), re.MULTILINE))
    assert declared == {field.name for field in fields(Relation)} | {
        field.name for field in fields(Asking) if field.name != "special"
    }
    actions = re.search(r"^action (.*?)appliesTo", engine.schema(), re.MULTILINE | re.DOTALL)
    assert actions is not None
    assert tuple(re.findall(r"(read_\w+|know_of)", re.sub(r"//.*", "", actions[1]))) == ACTIONS
    assert {f"read_{resource}" for resource in Resource} | {"know_of"} == set(ACTIONS)


@pytest.mark.parametrize("policy", ALL, ids=lambda policy: policy.id)
def test_policy_names_offices_actions_and_words(policy: Policy) -> None:
    assert policy.actions <= set(ACTIONS)
    assert policy.offices
    said = [policy.words] + ([policy.otherwise] if policy.otherwise else [])
    for words in said:
        assert re.fullmatch(r"[А-ЯЁ].*[^.\s]", words.ru)
        assert re.fullmatch(r"[A-Z].*[^.\s]", words.en)


def test_offices_that_policies_name_exist() -> None:
    """Cedar takes any name for an office; a misspelled one would decide nothing."""
    named = set(
        re.findall(r'Office::"(\w+)"', "".join((engine._FOLDER / f"{name}.cedar").read_text() for name in SUBJECTS))
    )
    assert named <= {office.value for office in Office} | GROUPS.keys()
    named = set(
        re.findall(r'purpose == "(\w*)"', "".join((engine._FOLDER / f"{name}.cedar").read_text() for name in SUBJECTS))
    )
    assert named <= set(Purpose)


# --- purposes and legal bases (S1-1.2) --------------------------------------------------------------------------------


def test_every_purpose_points_at_a_legal_basis_of_the_register() -> None:
    purposes, bases = register()["purposes"], register()["bases"]
    assert set(purposes) == {purpose.value for purpose in Purpose}
    assert set(PURPOSE_OF) == set(Office)
    for found in purposes.values():
        assert found["bases"]
        assert set(found["bases"]) <= set(bases)
        assert found["ru"]
        assert found["en"]


@pytest.mark.parametrize("policy", ALL, ids=lambda policy: policy.id)
def test_policy_names_a_legal_basis_of_its_purpose(policy: Policy) -> None:
    assert set(policy.bases) <= set(register()["bases"])
    allowed = set(register()["purposes"][policy.purpose.value]["bases"])
    assert set(policy.bases) & allowed, "The policy rests on nothing that its purpose rests on."


def test_register_has_nothing_that_no_purpose_needs() -> None:
    used = {basis for found in register()["purposes"].values() for basis in found["bases"]}
    assert used | {basis for policy in ALL for basis in policy.bases} == set(register()["bases"])


def test_page_shows_every_policy_purpose_and_basis() -> None:
    assert page_with(tables()) == PAGE.read_text(encoding="utf-8"), "Run `python -m tests.support.policies`."


# --- decisions --------------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(Office),
    st.sampled_from(Resource),
    st.builds(Relation, **{field.name: st.booleans() for field in fields(Relation)}),
    st.builds(Asking, st.none() | st.sampled_from(Purpose), st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_decision_names_a_policy_and_says_why(
    office: Office, resource: Resource, relation: Relation, asking: Asking
) -> None:
    """Whatever is asked: a permit is for the stated purpose, a refusal has words, and outsiders need a ground."""
    decision = decide(office, resource, relation, asking)
    assert decide(office, resource, relation, asking) is decision
    assert decision.words.ru
    assert decision.words.en
    if isinstance(decision, Denied):
        assert decision.legal_basis
        return
    policy = next(policy for policy in ALL if policy.id == decision.policy)
    assert policy.permits
    assert policy.concerns(office, f"read_{resource}")
    wanted = Purpose.PROTECTION if asking.exceptional else asking.purpose or PURPOSE_OF[office]
    assert decision.purpose == wanted
    if asking.outside:
        assert (
            (wanted is Purpose.STATUTORY_DUTY and asking.document)
            or (wanted is Purpose.CONSENT and relation.consented and not asking.special)
            or (office is Office.SYSTEM and resource is Resource.DISCLOSURES and wanted is Purpose.OWN_REQUEST)
        )
    if asking.special:
        assert relation.own or relation.represents or wanted in (
            Purpose.SPECIAL_CONDITIONS, Purpose.PROTECTION, Purpose.STATUTORY_DUTY
        )  # fmt: skip
    if office in GROUPS["teaching"] and not asking.exceptional:
        assert relation.teaches or relation.substitutes or relation.class_teacher
    if office is Office.STUDENT:
        assert relation.own
    if office is Office.REPRESENTATIVE:
        assert relation.represents


def test_deputy_head_of_one_level_does_not_read_another() -> None:
    assert isinstance(decide(Office.DEPUTY_HEAD, Resource.JOURNAL), Granted)
    denied = decide(Office.DEPUTY_HEAD, Resource.JOURNAL, Relation(within_office=False))
    assert isinstance(denied, Denied)
    assert (denied.policy, denied.hidden) == ("deputy-head", False)


@pytest.mark.parametrize("office", [Office.AUDITOR, Office.INSPECTOR, Office.SYSTEM])
def test_nobody_reads_outside_their_mandate_or_learns_who_there_is(office: Office) -> None:
    assert isinstance(decide(office, Resource.DISCLOSURES), Granted)
    denied = decide(office, Resource.DISCLOSURES, Relation(within_mandate=False))
    assert isinstance(denied, Denied)
    assert denied.hidden
    assert knows_of_everybody(Actor(PERSON, office), Relation())
    assert not knows_of_everybody(Actor(PERSON, office), Relation(within_mandate=False))


@pytest.mark.parametrize(
    ("office", "relation", "hidden"),
    [
        (Office.TEACHER, Relation(), True),
        (Office.TEACHER, Relation(teaches=True), False),
        (Office.CLASS_TEACHER, Relation(substitutes=True), False),
        (Office.STUDENT, Relation(), True),
        (Office.REPRESENTATIVE, Relation(), True),
        (Office.SECRETARY, Relation(), False),
        (Office.INSPECTOR, Relation(), False),
    ],
)
def test_refusal_hides_who_there_is_from_those_who_may_not_know(
    office: Office, relation: Relation, *, hidden: bool
) -> None:
    denied = decide(office, Resource.HISTORY, relation)
    assert isinstance(denied, Denied)
    assert denied.hidden is hidden


def test_special_records_need_their_own_purpose() -> None:
    special = Asking(special=True)
    for office, relation in ((Office.DIRECTOR, Relation()), (Office.CLASS_TEACHER, LEADS), (Office.SYSTEM, Relation())):
        denied = decide(office, Resource.STUDENT, relation, special)
        assert isinstance(denied, Denied)
        assert denied.policy == "special-records"
    stated = replace(special, purpose=Purpose.SPECIAL_CONDITIONS)
    for office, relation in ((Office.DIRECTOR, Relation()), (Office.CLASS_TEACHER, LEADS)):
        assert isinstance(decide(office, Resource.STUDENT, relation, stated), Granted)
    assert isinstance(decide(Office.SECRETARY, Resource.STUDENT, Relation(), stated), Denied)
    assert isinstance(decide(Office.STUDENT, Resource.STUDENT, Relation(own=True), special), Granted)


def test_exceptional_access_is_for_staff_and_one_student() -> None:
    asking = Asking(exceptional=True)
    for office in GROUPS["staff"]:
        granted = decide(office, Resource.STUDENT, Relation(), asking)
        assert isinstance(granted, Granted)
        assert (granted.policy, granted.purpose) == ("exceptional-access", "protection")
        assert isinstance(decide(office, Resource.STUDENTS, Relation(), asking), Denied)
    for office in frozenset(Office) - GROUPS["staff"]:
        assert isinstance(decide(office, Resource.STUDENT, Relation(own=True, represents=True), asking), Denied)
    assert isinstance(decide(Office.TEACHER, Resource.STUDENT, LEADS, Asking(Purpose.PROTECTION)), Denied)


def test_nothing_goes_outside_without_a_document_or_a_consent() -> None:
    for asking, relation, granted in (
        (Asking(outside=True), Relation(), False),
        (Asking(Purpose.STATUTORY_DUTY, outside=True), Relation(), False),
        (Asking(Purpose.STATUTORY_DUTY, document=True), Relation(), False),
        (Asking(Purpose.STATUTORY_DUTY, outside=True, document=True), Relation(), True),
        (Asking(Purpose.CONSENT, outside=True), Relation(), False),
        (Asking(Purpose.CONSENT, outside=True), Relation(consented=True), True),
        (Asking(Purpose.CONSENT, outside=True, special=True), Relation(consented=True), False),
    ):
        assert isinstance(decide(Office.SECRETARY, Resource.PORTFOLIO, relation, asking), Granted) is granted


def test_students_and_representatives_are_told_apart() -> None:
    student = Actor(STUDENT, Office.STUDENT, frozenset({STUDENT}))
    parent = Actor(PERSON, Office.REPRESENTATIVE, frozenset({STUDENT}))
    assert personal(student, [STUDENT]) == Relation(own=True)
    assert personal(parent, [STUDENT]) == Relation(represents=True)
    for actor in (student, parent):
        assert personal(actor, [OTHER]) == personal(actor, [STUDENT, OTHER]) == personal(actor, []) == Relation()
    assert personal(Actor(PERSON, Office.TEACHER, frozenset({STUDENT})), [STUDENT]) == Relation()


# --- one way to personal data -----------------------------------------------------------------------------------------


def test_only_the_opening_opens_anything_for_reading() -> None:
    """Keys and mapper are asked for by no use case of reading but the one that proves receipts first."""
    rooms = Path(engine.__file__).parents[1] / "application"
    using = {
        path.relative_to(rooms).as_posix()
        for path in rooms.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("keyring", "mapper")
        and "ledger" in ast.unparse(node.value)
    }
    assert using == {"disclose/opening.py", "disclose/proving.py", "webhooks/shown.py"}  # webhooks are about nobody
