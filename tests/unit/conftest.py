"""Unit tests talk to nobody: a network socket in one of them is a mistake, and fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_socket import disable_socket, enable_socket

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    disable_socket(allow_unix_socket=True)  # an asyncio event loop wakes itself through a unix socket pair
    yield
    enable_socket()
