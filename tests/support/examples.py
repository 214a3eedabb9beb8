"""How many examples Hypothesis tries: few in `make test`, many times as many in `make soak`."""

from __future__ import annotations

import os


def examples(few: int) -> int:
    """Returns how many: `few`, times `LEDGER_TESTS_EXAMPLES` where that is set."""
    return few * int(os.environ.get("LEDGER_TESTS_EXAMPLES", "1"))
