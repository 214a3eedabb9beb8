"""Students' cards: one, found by a foreign id, or a page of a class group; each card shown is a disclosure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast
from uuid import UUID

from ledger.application.acting import TurnedAway
from ledger.application.disclose.gate import Reader, belonging, open_access, refuse_unknown
from ledger.application.disclose.moment import NOW, AsOf, find_moment
from ledger.application.disclose.opening import look, open_rows, table
from ledger.application.disclose.past import past_of_streams, rows_of
from ledger.application.disclose.shown import MAX_PAGE, Page, StudentShown, check_students
from ledger.application.tags import Thing, strong, weak
from ledger.errors import Forbidden, NotFound
from ledger.policy.offices import COURSE_BOUND
from ledger.policy.reading import Resource
from ledger.projections.query import reached
from ledger.projections.rosters import queries
from ledger.projections.rosters.projection import StudentBody, foreign_id_token
from ledger.projections.view import Moment
from ledger.streams.record_classes import RecordClass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.application.disclose.past import Past
    from ledger.application.ledger import Ledger
    from ledger.projections.view import Key, Row
    from ledger.receipt import Disclosure

VIEW = "rosters"
CATEGORIES = (RecordClass.PERSONAL_FILE,)
NOT_YET = "not_yet"


def show_student(key: Key, row: Row) -> StudentShown:
    """Returns an opened row of `students` as it is shown."""
    body = cast("StudentBody", row.body)
    enrolled_on, left_on, version = row.clear
    return StudentShown(
        cast("UUID", key[0]),
        body.family_name,
        body.given_name,
        body.patronymic,
        body.birth_date,
        enrolled_on,  # type: ignore[arg-type]  # the clear columns of a student are dates, by its table
        left_on,  # type: ignore[arg-type]  # likewise
        body.status,
        body.foreign_ids,
        body.memberships,
        strong(Thing.CARD, cast("int", version)),
    )


async def _cards_now(
    ledger: Ledger, receipt: Disclosure, students: Sequence[UUID], min_position: int = 0
) -> list[tuple[Key, Row]]:
    """Returns the rows of students that a receipt covers, opened, as the view has them."""
    store = table(ledger, VIEW, "students")
    [stored] = await look(ledger, (VIEW,), queries.by_key(store, students), min_position=min_position)
    return await open_rows(ledger, receipt, store, stored)


async def read_student(
    ledger: Ledger, reader: Reader, student_id: UUID, *, min_position: int = 0, as_of: AsOf = NOW
) -> StudentShown:
    """Returns a student's card.

    Args:
        as_of: the moment that is asked about; `min_position` has no effect with it.

    Raises:
        Forbidden, NotFound: as the gate says. InvalidInput: the moment has not come yet.
    """
    moment = None if as_of.is_now else await find_moment(ledger, as_of)
    receipt = await open_access(ledger, reader, Resource.STUDENT, students=[student_id], categories=CATEGORIES)
    if moment is None:
        for key, row in await _cards_now(ledger, receipt, [student_id], min_position):
            return show_student(key, row)
        raise NotFound("The student's personal file is not in the view yet, or was erased.", help="Ask again shortly.")
    past = await past_of_streams(ledger, receipt, [student_id], [student_id], moment.position)
    for card in cards_of(ledger, past, moment):
        return card
    raise NotFound("The student had no personal file then, or it was erased.", help="Ask for a later one.")


def cards_of(ledger: Ledger, past: Past, moment: Moment) -> list[StudentShown]:
    """Returns the cards of the students whose past it is; none of who had none yet, or whose personal file was erased.

    Who was enrolled on a later day than `effective_on` has a card (a name has no day) with the status `not_yet`.
    """
    rows = rows_of(past.fold(ledger.view(VIEW), moment), "students")
    return [_card(key, row, moment) for key, row in rows]


def _card(key: Key, row: Row, moment: Moment) -> StudentShown:
    card = show_student(key, row)
    if moment.effective_on is not None:
        # What happened later is left out, so this is no state that the card ever was in: a tag that serves no change.
        card = replace(card, etag=weak(card.etag, moment.effective_on, row.position))
    if moment.effective_on is not None and card.enrolled_on is not None and card.enrolled_on > moment.effective_on:
        return replace(card, status=NOT_YET)
    return card


async def find_student(
    ledger: Ledger, reader: Reader, source: str, foreign_id: str, *, min_position: int = 0
) -> StudentShown:
    """Returns the card of the student who has this id in a foreign system.

    Raises:
        NotFound: nobody has it, or the reader may not see who does (that refusal is recorded): a foreign id must not
            tell strangers whether somebody is at the school.
    """
    token = foreign_id_token(ledger.hasher.blind_index, source, foreign_id)
    question = queries.by_token(table(ledger, VIEW, "foreign_ids"), token)
    [stored] = await look(ledger, (VIEW,), question, min_position=min_position)
    if stored:
        try:
            return await read_student(ledger, reader, stored[0][1])
        except TurnedAway:
            raise
        except (Forbidden, NotFound):
            pass  # recorded by the gate; answered like an id that nobody has
    else:
        await refuse_unknown(ledger, reader, Resource.STUDENT)
    raise NotFound(
        "No student that you may see has this foreign id.",
        help="Check source and id; they are compared letter by letter.",
    )


async def list_students(
    ledger: Ledger,
    reader: Reader,
    group_id: UUID,
    *,
    after: UUID | None,
    limit: int,
    min_position: int = 0,
    as_of: AsOf = NOW,
) -> Page[StudentShown]:
    """Returns a page of the students who belong or belonged to a class group, by name within the page.

    To teachers and class teachers, only who belongs to it on the day of the cards: whoever has left has other teachers
    now, and their card of today is not the old ones' to read.

    Args:
        as_of: the moment that is asked about: who had come to the group by then, with their cards of then.

    Raises:
        Forbidden, NotFound: as the gate says. InvalidInput: the moment has not come yet.
    """
    check_students(limit)
    asked = None if as_of.is_now else await find_moment(ledger, as_of, (VIEW,))
    members = table(ledger, VIEW, "memberships")
    today = ledger.today() if reader.actor.office in COURSE_BOUND else None
    on = as_of.effective_on or today if today is not None else None
    whole = after is None and limit == MAX_PAGE and as_of.is_now
    [(position,)], found, *firsts = await look(
        ledger,
        (VIEW,),
        reached(ledger.database, [ledger.view(VIEW)]),
        queries.members_of(members, group_id, after, limit + 1, asked, on),
        *([] if whole else [queries.members_of(members, group_id, None, MAX_PAGE, on=today)]),
        min_position=max(min_position, asked.position if asked else 0),
    )
    moment = asked or Moment(position)
    ids = [student_id for (student_id,) in found]
    first = ids[:limit] if whole else [student_id for (student_id,) in firsts[0]]
    page = ids[:limit]
    following = str(page[-1]) if len(ids) > limit else None
    if on is not None:  # the view may be behind: who has just left is the old teachers' no more
        page = await belonging(ledger, reader, group_id, page, on)
    receipt = await open_access(
        ledger, reader, Resource.STUDENTS, students=page, categories=CATEGORIES, group_id=group_id, refused=first
    )
    opened = await _cards_now(ledger, receipt, page) if asked is None else []
    if asked is None and all(row.position <= moment.position for _, row in opened):
        cards = [show_student(key, row) for key, row in opened]
    else:  # a moment was asked for, or somebody's card has changed since the page was found
        past = await past_of_streams(ledger, receipt, page, page, moment.position)
        cards = await past.aside(lambda: cards_of(ledger, past, moment))
    items = sorted(cards, key=by_name)
    return Page(items, following, moment.position, weak(following, *((card.student_id, card.etag) for card in items)))


def by_name(card: StudentShown) -> tuple[str, str, str, UUID]:
    """Orders cards as a class list does."""
    return (card.family_name, card.given_name, card.patronymic, card.student_id)
