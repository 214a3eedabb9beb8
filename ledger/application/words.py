"""The school's words for events and their fields: Russian first, English beside it."""

from __future__ import annotations

from collections.abc import Mapping

TITLES: Mapping[str, str] = {
    "student.enrolled": "Зачислен / enrolled",
    "student.moved_to_group": "Определён в класс / moved to a class group",
    "student.left_group": "Выбыл из класса / left a class group",
    "student.left": "Выбыл из школы / left the school",
    "student.transferred_out": "Переведён в другую организацию / transferred out",
    "student.transferred_in": "Прибыл из другой организации / transferred in",
    "student.achievement_recorded": "Достижение / achievement",
    "student.award_granted": "Поощрение / award",
    "student.result_credited": "Зачтён результат / result credited",
    "student.birth_date_recorded": "Дата рождения / birth date",
    "representation.named": "Законный представитель / legal representative",
    "representation.revised": "Права представителя изменены / powers of a representative revised",
    "representation.ended": "Представительство прекращено / representation ended",
    "consent.given": "Согласие дано / consent given",
    "consent.limited": "Согласие сужено / consent narrowed",
    "consent.withdrawn": "Согласие отозвано / consent withdrawn",
    "request.registered": "Обращение / request",
    "request.extended": "Срок ответа продлён / term extended",
    "request.answered": "Ответ на обращение / request answered",
    "marks.opened": "Открыт учебный год в дневнике / marks of a year opened",
    "marks.recorded": "Отметка / mark",
    "marks.corrected": "Отметка исправлена / mark corrected",
    "marks.voided": "Отметка недействительна / mark void",
    "marks.work_submitted": "Работа сдана / work submitted",
    "marks.attendance_noted": "Посещаемость / attendance",
    "results.set": "Отметка за период / mark of a period",
    "results.corrected": "Отметка за период исправлена / mark of a period corrected",
    "disclosure.made": "Данные показаны / data disclosed",
    "disclosure.refused": "В доступе отказано / access refused",
    "disclosure.handed_over": "Документ выдан / document handed over",
    "disclosure.exceptional": "Исключительный доступ / exceptional access",
}
"""Titles of the events that a student's history can have, by topic; a test holds them against the registry."""

FIELDS: Mapping[str, str] = {
    "about_access": "о доступе / about access",
    "access_id": "доступ / access",
    "achieved_on": "дата / day",
    "application": "заявление / application",
    "basis": "основание / basis",
    "birth_date": "дата рождения / birth date",
    "by": "чьё слово / by",
    "by_kind": "кто это / who that is",
    "categories": "категории / categories",
    "code": "код / code",
    "comment": "замечание / comment",
    "conditions": "условия / conditions",
    "consent_id": "согласие / consent",
    "contact": "связь / contact",
    "corrected_on": "исправлено / corrected on",
    "course_id": "курс / course",
    "document": "документ / document",
    "document_kind": "вид документа / kind of document",
    "document_on": "дата документа / date of the document",
    "due_on": "срок / due on",
    "effective_on": "дата / day",
    "enrolled_on": "зачислен / enrolled on",
    "entered_on": "внесено / entered on",
    "evidence": "подтверждение / evidence",
    "family_name": "фамилия / family name",
    "flags": "пометы / flags",
    "foreign_ids": "другие идентификаторы / foreign ids",
    "form": "форма / form",
    "from_group": "из класса / from group",
    "from_organisation": "откуда / from",
    "given_name": "имя / given name",
    "granted_on": "дата / day",
    "group_id": "класс / class group",
    "how": "как / how",
    "kind": "вид / kind",
    "legal_basis": "основание / legal basis",
    "level": "уровень / level",
    "mark_id": "отметка / mark",
    "old_due_on": "прежний срок / was due on",
    "old_value": "было / was",
    "order": "приказ / order",
    "outcome": "результат / outcome",
    "patronymic": "отчество / patronymic",
    "period": "период / period",
    "permit_id": "разрешение / permission",
    "person": "лицо / person",
    "powers": "права / powers",
    "purpose": "цель / purpose",
    "received_on": "поступило / received on",
    "reason": "причина / reason",
    "recipients": "кому / recipients",
    "released": "выдано / released",
    "scale": "шкала / scale",
    "scale_version": "редакция шкалы / scale version",
    "request_id": "обращение / request",
    "representation_id": "представительство / representation",
    "sphere": "сфера / sphere",
    "subject": "предмет / subject",
    "text": "текст / text",
    "title": "название / title",
    "to_organisation": "куда / to",
    "until": "по / until",
    "value": "значение / value",
    "voided_on": "недействительна с / void since",
    "will_of": "по воле / will of",
    "will_on": "воля от / will of day",
    "work_id": "работа / work",
    "year": "год / year",
}
"""Names of the fields of those events."""

COLUMNS: Mapping[str, str] = {
    "ends_on": "по / until",
    "happened_on": "дата / day",
    "left_on": "последний день / last day",
    "organisation": "организация / organisation",
    "starts_on": "с / from",
    "status": "состояние / status",
    "voided": "недействительна / void",
}
"""Names of what views show besides."""

ITEMS: Mapping[str, str] = {
    "card": "Карточка / card",
    "membership": "Класс / class group",
    "mark": "Отметка / mark",
    "submitted": "Работа сдана / work submitted",
    "attendance": "Посещаемость / attendance",
    "result": "Отметка за период / mark of a period",
    "achievement": "Достижение / achievement",
    "award": "Поощрение / award",
    "credit": "Зачтённый результат / credited result",
}
"""Names of what a student's state is made of."""

CHANGES: Mapping[str, str] = {
    "added": "добавлено / added",
    "changed": "изменено / changed",
    "voided": "признано недействительным / void",
}
"""What can become of it."""


def title(topic: str) -> str:
    """Returns what an event is called; an event of a later version keeps its topic."""
    return TITLES.get(topic, topic)


def field(name: str) -> str:
    """Returns what a field of an event, or of a row, is called."""
    return FIELDS.get(name) or COLUMNS.get(name, name)


def tell(state: Mapping[str, object]) -> str:
    """Returns what an event says in one line; empty fields are left out."""
    told = []
    for name, value in state.items():
        if value is None or (isinstance(value, str | list | tuple) and not value):
            continue
        told.append(f"{field(name)} {plain(value)}")
    return "; ".join(told) or "—"


def plain(value: object) -> str:
    """Returns a value in one line."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "да / yes" if value else "нет / no"
    if isinstance(value, list | tuple):
        return ", ".join(
            plain(item) if not isinstance(item, list | tuple) else ":".join(map(str, item)) for item in value
        )
    return " ".join(str(value).split())
