"""Processes that are forked off a server which has loaded everything: loading takes longer than most of them run.

There is one such server in a process, and whoever names its modules last names all of them: so they are named here.
"""

from __future__ import annotations

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["ledger.cli.main", "tests.support.cli", "tests.support.crew", "tests.support.dispatcher"])
