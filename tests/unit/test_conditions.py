"""Tags, conditional headers and preferences: read as their RFCs say, and never misread in the sender's disfavour."""

from __future__ import annotations

from time import process_time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.aggregates import class_group, course, school
from ledger.aggregates.registry import EVENTS
from ledger.api.conditions import MAX_TAGS, MAX_WAIT_S, read_return, read_tags, read_wait
from ledger.api.problems import BadRequest
from ledger.application.tags import CHANGED_BY, Tags, Thing, strong, tag_after, weak
from ledger.projections.rosters.projection import rosters

if TYPE_CHECKING:
    from ledger.store.commands import Recorded

# etagc of RFC 9110 8.8.3, commas and backslashes among it.
OPAQUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f').filter(
    lambda c: c <= "\x7e" or c >= "\x80"
), max_size=12)  # fmt: skip
TAG = st.builds(lambda prefix, opaque: f'{prefix}"{opaque}"', st.sampled_from(["", "W/"]), OPAQUE)
BLANK = st.text(" \t", max_size=3)
SEPARATOR = st.builds(lambda a, commas, b: f"{a}{commas}{b}", BLANK, st.sampled_from([",", ",,", ", ,", ",\t,"]), BLANK)


@given(st.lists(TAG, min_size=1, max_size=8), st.data())
def test_any_list_of_tags_is_read_as_it_was_written(tags: list[str], data: st.DataObject) -> None:
    """However it is spaced, and with empty elements, which a recipient must pass over (RFC 9110 5.6.1.2)."""
    value = data.draw(st.sampled_from(["", " ", ",", " , "]))
    for number, tag in enumerate(tags):
        value += (data.draw(SEPARATOR) if number else "") + tag
    value += data.draw(st.sampled_from(["", " ", ",", " ,"]))
    assert read_tags(value, "If-Match") == Tags(tuple(tags))


@given(st.text(st.characters(max_codepoint=0xFF), max_size=30))
def test_what_is_read_from_any_text_is_made_of_whole_tags(value: str) -> None:
    try:
        found = read_tags(value, "If-Match")
    except BadRequest:
        return
    if found.any:
        assert value.strip(" \t") == "*"
    else:
        assert found.listed
        assert all(tag.removeprefix("W/")[0] == tag[-1] == '"' and tag in value for tag in found.listed)


@pytest.mark.parametrize(
    "value",
    [
        "", " ", ",", "m12", "'m12'", '"m12', 'm12"', '"m12" "m13"', '"m12"; "m13"', '"m 12"', '"m12\x7f"', 'w/"m12"',
        'W / "m12"', "*,", '*, "m12"', '"m12", *', "**", 'W/"m12"x', '"a""b"',
    ],
)  # fmt: skip
def test_precondition_that_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(BadRequest, match="cannot be read"):
        read_tags(value, "If-Match")


def test_so_many_tags_and_no_more_are_read() -> None:
    assert len(read_tags(",".join(['"m1"'] * MAX_TAGS), "If-Match").listed) == MAX_TAGS
    with pytest.raises(BadRequest):
        read_tags(",".join(['"m1"'] * (MAX_TAGS + 1)), "If-Match")


@given(st.lists(TAG, max_size=4), TAG)
def test_strong_comparison_needs_two_equal_strong_tags_and_weak_only_equal_names(tags: list[str], current: str) -> None:
    found = Tags(tuple(tags))
    assert found.match_strongly(current) == (current in [tag for tag in tags if not tag.startswith("W/")])
    assert found.match_weakly(current) == (current.split('"')[1] in [tag.split('"')[1] for tag in tags])
    assert Tags(any=True).match_strongly(current) == Tags(any=True).match_weakly(current) is True


def test_nothing_matches_what_is_not_there() -> None:
    for tags in (Tags(any=True), Tags(('"m1"',)), Tags()):
        assert not tags.match_strongly(None)
        assert not tags.match_weakly(None)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("return=minimal", "minimal"),
        ("Return = Minimal", "minimal"),
        ('return="minimal"', "minimal"),
        ("respond-async, return=minimal;strict, wait=10", "minimal"),
        ('note="a, return=minimal", return=representation', "representation"),
        ("return=minimal, return=representation", "minimal"),
        ("return=nothing, return=minimal", None),
        ("return, return=minimal", None),
        ('return="minimal', None),
        ("returns=minimal", None),
        ("wait=10", None),
        ("", None),
    ],
)
def test_first_return_preference_counts_and_others_are_ignored(value: str, wanted: str | None) -> None:
    assert read_return(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("wait=5", 5),
        ('return=minimal, WAIT="7"; and more', 7),
        ("wait=3, wait=9", 3),
        ("wait=999999999", 10),
        ("wait=0", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait=\u0665", 0),
        ("wait, wait=5", 0),
        ("waiting=5", 0),
        ("", 0),
    ],
)
def test_wait_preference_is_read_leniently_and_bounded(value: str, wanted: int) -> None:
    assert read_wait(value) == wanted


@given(st.text(st.characters(max_codepoint=0xFF), max_size=40))
def test_no_preference_is_ever_an_error(value: str) -> None:
    assert read_return(value) in {None, "minimal", "representation"}
    assert 0 <= read_wait(value) <= MAX_WAIT_S
    assert read_return(f"return=minimal, {value}") == "minimal"


def test_header_full_of_quotes_that_do_not_end_is_read_at_once() -> None:
    """Each of them was looked for to the end of the header: one request held up all others for seconds."""
    began = process_time()
    for value in ('"' + '\\"' * 16_000, '"' * 32_000, '",' * 16_000, "\\" * 32_000, 'a"' * 16_000):
        read_wait(value)
        read_return(value)
    assert process_time() - began < 1


# --- tags -------------------------------------------------------------------------------------------------------------


def test_every_event_of_the_school_its_groups_and_courses_changes_their_tags() -> None:
    """Their tag is the lane's version: an event that the roster view passed over would leave one that never fits."""
    rules = rosters(lambda _, __: b"").rules
    for module, thing in ((school, Thing.SCHOOL), (class_group, Thing.CLASS_GROUP), (course, Thing.COURSE)):
        for topic, event in EVENTS.items():
            if event.__module__ == module.__name__:
                assert CHANGED_BY[topic] is thing
                assert event in rules
    assert CHANGED_BY.keys() <= EVENTS.keys()


@given(st.sampled_from(Thing), st.integers(1, 10**9), st.sampled_from(Thing), st.integers(1, 10**9))
def test_two_states_never_have_one_tag(thing: Thing, version: int, other: Thing, later: int) -> None:
    assert (strong(thing, version) == strong(other, later)) == ((thing, version) == (other, later))
    assert read_tags(strong(thing, version), "If-Match").match_strongly(strong(thing, version))


def test_weak_tag_tells_pages_apart_and_is_no_precondition() -> None:
    one, two = uuid4(), uuid4()
    assert weak(None, (one, 7)) == weak(None, (one, 7))
    assert len({weak(None, (one, 7)), weak(None, (one, 8)), weak(None, (two, 7)), weak(str(one), (one, 7))}) == 4
    page = weak(None, (one, 7))
    assert not read_tags(page, "If-Match").match_strongly(page)
    assert read_tags(page, "If-None-Match").match_weakly(page)


def test_command_has_the_tag_of_the_one_thing_that_it_changed() -> None:
    stream, student = uuid4(), uuid4()

    def after(*events: tuple[str, int]) -> str | None:
        made = [
            SimpleNamespace(stream_id=stream, subject_id=student, event_id=uuid4(), topic=t, version=v)
            for t, v in events
        ]
        recorded: Any = SimpleNamespace(events=made)
        found: Recorded = recorded
        return tag_after(found)

    assert after(("school.founded", 1), ("school.scale_defined", 2), ("school.scale_defined", 3)) == '"s3"'
    assert after(("marks.opened", 1), ("marks.recorded", 2)) == '"m2"'
    assert after(("marks.recorded", 2), ("marks.recorded", 3)) is None
    assert after(("marks.recorded", 2), ("marks.attendance_noted", 3)) == '"m2"'
    assert after(("achievements.recorded", 4)) is None
    assert after(("results.corrected", 9)) == '"p9"'
