"""The tables of policies that `docs/policies.md` shows; `python -m tests.support.policies` writes them."""

from __future__ import annotations

from pathlib import Path

from ledger.policy.engine import Policy, book, register
from ledger.policy.offices import GROUPS, Office
from ledger.policy.reading import PURPOSE_OF

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"
BEGINS, ENDS = "<!-- tables: python -m tests.support.policies -->", "<!-- end of tables -->"


def tables() -> str:
    """Returns the tables that the page must have."""
    register_ = register()
    ordinarily = {
        purpose: [o.value for o, found in PURPOSE_OF.items() if found is purpose] for purpose in PURPOSE_OF.values()
    }
    lines = [
        "## Цели / Purposes",
        "",
        "| Purpose | По-русски | In English | Basis | Ordinarily read for by |",
        "|---|---|---|---|---|",
        *(
            f"| `{name}` | {found['ru']} | {found['en']} | {', '.join(found['bases'])} |"
            f" {', '.join(ordinarily.get(name, [])) or 'only where stated'} |"  # type: ignore[call-overload]  # a StrEnum is its text
            for name, found in register_["purposes"].items()
        ),
        "",
        "## Правовые основания / Legal bases",
        "",
        "| Basis | По-русски | In English |",
        "|---|---|---|",
        *(f"| {name} | {found['ru']} | {found['en']} |" for name, found in register_["bases"].items()),
        "",
        "## Политики / Policies",
        "",
        "| Policy | | Who | What | Purpose | Basis | По-русски | In English |",
        "|---|---|---|---|---|---|---|---|",
        *map(_row, book().policies),
    ]
    return "\n".join(lines)


def _row(policy: Policy) -> str:
    what = ", ".join(sorted(action.removeprefix("read_") for action in policy.actions))
    every = frozenset().union(*(found.actions for found in book().policies))
    cells = (
        f"`{policy.id}`",
        "allows" if policy.permits else "**forbids**",
        _who(policy.offices),
        "everything" if policy.actions == every else what,
        f"`{policy.purpose}`",
        policy.legal_basis,
        policy.words.ru,
        policy.words.en,
    )
    return f"| {' | '.join(cells)} |"


def _who(offices: frozenset[Office]) -> str:
    if offices == frozenset(Office):
        return "everybody"
    named = next((name for name, held in GROUPS.items() if held == offices), None)
    return named or ", ".join(sorted(offices))


def page_with(found: str) -> str:
    """Returns the page with these tables in place of its own."""
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGINS)
    return f"{head}{BEGINS}\n\n{found}\n\n{ENDS}{rest.split(ENDS)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page_with(tables()), encoding="utf-8")
