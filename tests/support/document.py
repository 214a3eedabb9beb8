"""The OpenAPI document without a database: `python -m tests.support.document FILE` writes it (for `make lint-api`)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ledger.aggregates.registry import EVENTS
from ledger.api.app import create_app
from ledger.bootstrap import Foundation
from ledger.projections.views import all_views
from ledger.settings import Settings
from ledger.store.database import Database
from ledger.store.keyring import KeyEncryptionKeys
from ledger.store.mapper import EventMapper
from ledger.store.secrets import Hasher

if TYPE_CHECKING:
    from fastapi import FastAPI


def the_app() -> FastAPI:
    """Returns the application as a process makes it; nothing is opened."""
    hasher = Hasher(os.urandom(32))
    base = Foundation(
        uuid4(),
        Settings(),
        Database("", "ledger"),
        KeyEncryptionKeys({1: os.urandom(32)}),
        hasher,
        EventMapper(EVENTS),
        all_views(hasher.blind_index),
    )
    return create_app(base)


def the_document() -> dict[str, Any]:
    """Returns the document."""
    return the_app().openapi()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(the_document(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
