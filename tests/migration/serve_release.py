"""Serves a ledger with whichever version of the package Python imports: `serve_release.py YYYY-MM-DD`.

Prints its port and where the package came from. The tests run it on the packages of older releases, so it uses nothing
that these do not have.
"""

from __future__ import annotations

import sys
from datetime import date
from unittest import mock

from ledger import bootstrap
from ledger.api.server import listen, make_server
from ledger.settings import read_settings


def main(today: date) -> None:
    """Serves until it is told to stop; nothing is migrated, and no views are built."""
    with (
        mock.patch.object(bootstrap, "school_calendar", return_value=lambda: today),
        bootstrap.foundation(read_settings(), migrating=False) as base,
        listen("127.0.0.1", 0) as listening,
    ):
        print(listening.getsockname()[1], bootstrap.__file__, flush=True)  # noqa: T201 - how the test learns it
        make_server(base).run(sockets=[listening])


if __name__ == "__main__":
    main(date.fromisoformat(sys.argv[1]))
