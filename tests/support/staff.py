"""The register of the school's people to test with: `Book` is a world with one register, in its own language."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from ledger.aggregates import staff
from ledger.aggregates.staff import Login, Register, StaffRegister, staff_ref
from tests.support.world import TODAY, World, a_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.streams.base import LedgerEvent, Proposal

SCHOOL = UUID(int=0x5C)
PERSON, OTHER = UUID(int=1), UUID(int=2)
REF = staff_ref(SCHOOL)
NOW = a_context(office="director")
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)


class Book(World):
    """A world with one register."""

    @property
    def register(self) -> Register:
        """The register as a decision has it."""
        return Register(REF, self.get(REF))

    @property
    def lane(self) -> StaffRegister:
        """The register's lane."""
        return self.the(REF)

    def writes(self, proposals: Sequence[Proposal]) -> LedgerEvent:
        """Records proposals and returns the last event."""
        return self.record(proposals)[-1]

    def assumes(
        self,
        office: str = "deputy_head",
        *,
        person: UUID = PERSON,
        level: str | None = None,
        begin: date = YESTERDAY,
        end: date | None = None,
        document: str = "Приказ 1",
    ) -> UUID:
        """Gives somebody an office and returns the tenure."""
        return self.writes(
            staff.assume_office(
                self.register,
                person=person,
                office=office,
                level=level,
                starts_on=begin,
                ends_on=end,
                document=document,
                context=NOW,
            )
        ).event_id

    def leaves(self, tenure: UUID, last_day: date, *, person: UUID = PERSON) -> None:
        """Ends a tenure."""
        self.writes(
            staff.leave_office(
                self.register, person=person, tenure_id=tenure, last_day=last_day, document="Приказ 2", context=NOW
            )
        )

    def mandates(
        self,
        kind: str = "auditor",
        *,
        scope: str = "everything",
        named: tuple[UUID, ...] = (),
        end: date | None = TOMORROW,
    ) -> UUID:
        """Records a mandate and returns its id."""
        return self.writes(
            staff.record_mandate(
                self.register,
                person=PERSON,
                kind=kind,
                document="Распоряжение 3",
                scope=scope,
                named=named,
                starts_on=YESTERDAY,
                ends_on=end,
                context=NOW,
            )
        ).event_id

    def links(self, login: UUID, *capacities: str, person: UUID = PERSON) -> None:
        """Links a login."""
        self.writes(staff.link_login(self.register, login=login, person=person, capacities=capacities, context=NOW))

    def unlinks(self, login: UUID, reason: str = "Уволен") -> None:
        """Unlinks a login."""
        self.writes(staff.unlink_login(self.register, login=login, reason=reason, context=NOW))

    def offices(self, *capacities: str, day: date = TODAY) -> list[str]:
        """Returns the offices of PERSON, logged in so."""
        return self.lane.offices_of(Login(PERSON, list(capacities)), day)
