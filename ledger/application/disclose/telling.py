"""An access in one sentence, for whom it concerns: who looked at what, for whom, why, and on which basis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ledger.aggregates.disclosures import HAND_OVER_CHANNELS
from ledger.policy.engine import Purpose, Words, purpose_words

if TYPE_CHECKING:
    from datetime import date, datetime

    from ledger.application.disclose.shown import DisclosureLine, HandedOver

OFFICES: Mapping[str, Words] = {
    "system": Words("программа школы", "a program of the school"),
    "teacher": Words("учитель", "a teacher"),
    "class_teacher": Words("классный руководитель", "a class teacher"),
    "deputy_head": Words("заместитель директора", "a deputy head"),
    "director": Words("директор", "the director"),
    "secretary": Words("секретарь", "the secretary"),
    "auditor": Words("аудитор", "an auditor"),
    "inspector": Words("инспектор", "an inspector"),
    "student": Words("ученик", "a student"),
    "representative": Words("законный представитель", "a legal representative"),
}
"""Who looked, by office; a test holds them against the policy's offices."""

RESOURCES: Mapping[str, Words] = {
    "student": Words("личную карточку", "the card"),
    "students": Words("список класса", "the class list"),
    "journal": Words("журнал", "a journal"),
    "marks": Words("отметки по предмету", "the marks of a course"),
    "portfolio": Words("портфолио", "the portfolio"),
    "retention": Words("сроки хранения", "the terms of keeping"),
    "disclosures": Words("сведения о том, кто видел данные", "who saw the data"),
    "register": Words("журнал доступа", "the disclosure register"),
    "representatives": Words("сведения о представителях", "who represents the student"),
    "consents": Words("согласия", "the consents"),
    "requests": Words("обращения", "the requests"),
    "access": Words("сведения о том, кому доступны данные", "who may see the data"),
    "history": Words("историю записей", "the history of records"),
    "state": Words("все сведения на дату", "everything as of a date"),
    "feed": Words("ленту событий", "the feed of events"),
}
"""What was looked at; a test holds them against the policy's resources."""

CHANNELS: Mapping[str, Words] = {
    "api": Words("через сервис", "through the service"),
    "cli": Words("с консоли оператора", "at the operator's console"),
    "paper": Words("на бумаге", "on paper"),
    "letter": Words("письмом", "by letter"),
    "email": Words("по электронной почте", "by e-mail"),
}

DOCUMENTS: Mapping[str, Words] = {
    "certificate": Words("аттестат", "the certificate"),
    "progress_statement": Words("справку об успеваемости", "a progress statement"),
    "extract": Words("выписку", "an extract"),
    "personal_file": Words("личное дело", "the personal file"),
    "portfolio": Words("портфолио", "the portfolio"),
    "copy": Words("копию", "a copy"),
    "list": Words("список", "a list"),
    "answer": Words("ответ на обращение", "the answer to a request"),
    "other": Words("документ", "a document"),
}
"""What was handed over; a test holds them against the kinds of documents."""

_MONTHS = (
    *("января", "февраля", "марта", "апреля", "мая", "июня"),
    *("июля", "августа", "сентября", "октября", "ноября", "декабря"),
)
_PURPOSES = frozenset(Purpose)


def tell(line: DisclosureLine, zone: str) -> Words:
    """Returns the sentence of one entry of the register, in Russian and in English.

    Args:
        line: the entry.
        zone: the time zone of the school's calendar.
    """
    office = OFFICES.get(line.office, Words(line.office, line.office))
    if line.exceptional:
        office = Words(f"в исключительном порядке {office.ru}", f"in exceptional access {office.en}")
    resource = RESOURCES.get(line.resource, Words(line.resource, line.resource))
    at = line.recorded_at.astimezone(ZoneInfo(zone))
    when_ru, when_en = _day(at), f"{at:%Y-%m-%d} at {at:%H:%M}"
    if not line.granted and line.channel in HAND_OVER_CHANNELS:
        way = CHANNELS[line.channel]
        return Words(
            f"{when_ru}: {office.ru} хотел передать {way.ru} {resource.ru} — отказано.",
            f"{when_en}, {office.en} wanted to hand over {resource.en} {way.en} and was refused.",
        )
    if not line.granted:
        return Words(
            f"{when_ru}: {office.ru} хотел посмотреть {resource.ru} — отказано.",
            f"{when_en}, {office.en} wanted to see {resource.en} and was refused.",
        )
    ru, en = f"{when_ru}: {office.ru} смотрел {resource.ru}", f"{when_en}, {office.en} looked at {resource.en}"
    noted = Words("", "")
    if line.handed_over is not None:
        ru, en = _handed_over(line.handed_over, line)
        noted = Words(f"Записал {office.ru} {when_ru}. ", f"Recorded by {office.en} on {when_en}. ")
    if line.students > 1:
        ru, en = f"{ru} (вместе с другими учениками: {line.students - 1})", f"{en} (with {line.students - 1} others)"
    if line.recipient:
        ru, en = f"{ru} для: {line.recipient}", f"{en} for: {line.recipient}"
    if line.channel in CHANNELS and line.channel != "api" and line.handed_over is None:
        ru, en = f"{ru} {CHANNELS[line.channel].ru}", f"{en} {CHANNELS[line.channel].en}"
    purpose = purpose_of(line)
    why_ru = why_en = f"({line.legal_basis})"
    if line.document:
        why_ru, why_en = f"{why_ru}, по документу: {line.document}", f"{why_en}, asked for by: {line.document}"
    if line.reason:
        why_ru, why_en = f"{why_ru}. Причина: {line.reason.rstrip('.')}", f"{why_en}. Reason: {line.reason.rstrip('.')}"
    return Words(
        f"{ru}. {noted.ru}Цель: {purpose.ru[:1].lower()}{purpose.ru[1:]} {why_ru}.",
        f"{en}. {noted.en}Purpose: {purpose.en[:1].lower()}{purpose.en[1:]} {why_en}.",
    )


def _handed_over(paper: HandedOver, line: DisclosureLine) -> tuple[str, str]:
    """Returns what went to whom on which day, and by which way."""
    document = DOCUMENTS.get(paper.kind, Words(paper.kind, paper.kind))
    way = CHANNELS.get(line.channel, Words(line.channel, line.channel))
    whom = Words("", "")
    if paper.received_by is not None:
        own = paper.received_by == line.student_id
        whom = Words(" ученику", " to the student") if own else Words(" представителю", " to the representative")
    return (
        f"{_date(paper.effective_on)}: {way.ru} передали {document.ru} № {paper.number}{whom.ru}",
        f"{paper.effective_on:%Y-%m-%d}, {document.en} no. {paper.number} was handed over {way.en}{whom.en}",
    )


def purpose_of(line: DisclosureLine) -> Words:
    """Returns what an access was for, in words; a purpose of a later version keeps its code."""
    if line.purpose in _PURPOSES:
        return purpose_words(Purpose(line.purpose))
    return Words(line.purpose, line.purpose)


def _day(at: datetime) -> str:
    return f"{_date(at)}, {at:%H:%M}"


def _date(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year} г."
