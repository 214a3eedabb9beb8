"""Record classes: the fixed names under which events are kept and, one day, erased together.

A name is stored with each event and selects its data key, so it never changes. The file plan (`file_plan.py`) maps a
class to its carriers and their terms; a class is due with its last carrier.
"""

from __future__ import annotations

from enum import StrEnum


class RecordClass(StrEnum):
    """Whose term of keeping an event shares. Student classes first, then those of the school itself."""

    PERSONAL_FILE = "personal_file"
    """Enrolment, names, groups, leaving, transfers: the personal file (личное дело)."""
    MARKS = "marks"
    """Current marks, attendance, submitted works: journals and diary."""
    FINAL_RESULTS = "final_results"
    """Marks of periods, years, exams and final marks: the summary sheets (сводные ведомости)."""
    ACHIEVEMENTS = "achievements"
    """What the student achieved: the portfolio."""
    AWARDS = "awards"
    """Rewards (поощрения) and their orders."""
    CREDITS = "credits"
    """Results from other organisations that were credited (зачёт результатов)."""
    REPRESENTATION = "representation"
    """Who speaks for the student, by which documents, and what a court restricted."""
    CONSENTS = "consents"
    """Consents to the processing and to the dissemination of personal data."""
    REQUESTS = "requests"
    """Requests of students and representatives, and their answers."""
    DISCLOSURES = "disclosures"
    """Who saw what; lives as long as what it disclosed."""
    ORGANISATION = "organisation"
    """The school, class groups and courses themselves; not about one student."""
    SNAPSHOTS = "snapshots"
    """Key of cached decision states; nothing is kept under it that cannot be rebuilt."""


STUDENT_CLASSES: tuple[RecordClass, ...] = (
    RecordClass.PERSONAL_FILE,
    RecordClass.MARKS,
    RecordClass.FINAL_RESULTS,
    RecordClass.ACHIEVEMENTS,
    RecordClass.AWARDS,
    RecordClass.CREDITS,
    RecordClass.REPRESENTATION,
    RecordClass.CONSENTS,
    RecordClass.REQUESTS,
    RecordClass.DISCLOSURES,
)
"""The classes that a student's events may have, in the order in which retention shows them."""
