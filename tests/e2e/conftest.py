"""One server and one school for all tests of a worker; each test makes a class of its own in it.

`served`     a running service with a projector (see `tests.support.api`)
`director`   a client that acts as the director; the school is founded
`a_class`    a class with a course, a work and two students
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.api import AClass, Api, Served, a_foundation, found, make_class, projecting, sealing, serving
from tests.support.postgres import fresh_schema

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def served(postgres_url: str, kek_text: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("api")
    with (
        fresh_schema(postgres_url) as database,
        a_foundation(postgres_url, database.schema, kek_text, folder) as base,
        projecting(base),
        sealing(base),
        serving(base) as service,
    ):
        with service.acts().http as client:
            api = Api(client)
            api.reads("/v1/school", min_position=found(api))  # the views are there: no test meets their making
        yield service


@pytest.fixture(autouse=True)
def _clients_closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Closes what a test has opened: hundreds of idle connections are more files than some machines allow."""
    clients = request.getfixturevalue("served").clients if "served" in request.fixturenames else []
    kept = len(clients)
    yield
    for client in clients[kept:]:
        client.close()
    del clients[kept:]


@pytest.fixture
def director(served: Served) -> Api:
    return served.acts()


@pytest.fixture
def a_class(director: Api) -> AClass:
    return make_class(director)
