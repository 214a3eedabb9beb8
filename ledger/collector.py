"""Python's collector of cycles, which every process of ours lets come seldom.

Hardly anything here is a cycle. With its defaults the collector walks through a batch of events, or a page of a
journal, several times while it is made, and now and then through the whole program (ADR 0018, ADR 0034).
"""

from __future__ import annotations

import gc

YOUNG = 50_000
"""Objects made and not freed again after which the collector looks at them, in place of 700."""


def collect_seldom() -> None:
    """Leaves what has been loaded out of the collector's sight, and lets it look at the rest less often.

    For the process as a whole. Calling it again leaves out what has been made since.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
