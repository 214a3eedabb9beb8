"""The student: one aggregate in lanes.

`record` (enrolment, groups, achievements, awards, credits, transfers), one `marks/<school year>` a year, and
`disclosures`, which is written but never loaded to decide.
"""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from ledger.aggregates.student.marks import StudentMarks
from ledger.aggregates.student.record import StudentRecord
from ledger.ids import lane_id
from ledger.streams.base import LaneRef

__all__ = ["StudentMarks", "StudentRecord", "deciding_lanes", "disclosures_stream", "marks_lane", "record_lane"]


def record_lane(student_id: UUID) -> LaneRef[StudentRecord]:
    """Names the student's record lane; its stream has the student's own id."""
    return LaneRef(student_id, student_id, StudentRecord)


def marks_lane(student_id: UUID, year: str) -> LaneRef[StudentMarks]:
    """Names the student's lane of marks in a school year."""
    return LaneRef(lane_id(student_id, f"marks/{year}"), student_id, StudentMarks)


@lru_cache(maxsize=100_000)  # deriving an id costs as much as a rule; a name never changes
def deciding_lanes(student_id: UUID, year: str) -> tuple[LaneRef[StudentRecord], LaneRef[StudentMarks]]:
    """Names the two lanes that a decision about a mark reads; one look-up for both, since a lesson has thirty."""
    return record_lane(student_id), marks_lane(student_id, year)


def disclosures_stream(student_id: UUID) -> UUID:
    """Returns the stream of the student's disclosures."""
    return lane_id(student_id, "disclosures")
