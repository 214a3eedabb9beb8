"""The same route on other foundations, each behind FastAPI: `python -m ledger.benchmarks.rivals KIND DESCRIPTOR`.

`stock` is the eventsourcing library as it comes; `table` is a plain table with an audit trigger, as most would build
it. Both check a token and the body; `table` also takes each idempotency key once. `stock` takes a key and forgets it:
the library has no place for one. Neither encrypts, decides by rules or leaves a receipt.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import asynccontextmanager
from datetime import date
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, Field

from ledger.benchmarks.stock import StockStudent, stock_application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL, SCHEMA, TOKEN = "BENCH_URL", "BENCH_SCHEMA", "BENCH_TOKEN"
"""Environment of such a process."""

CONNECTIONS = 10

TABLES = """
CREATE TABLE marks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,
    course_id uuid NOT NULL,
    student_id uuid NOT NULL,
    work_id uuid NOT NULL,
    value text NOT NULL,
    effective_on date NOT NULL,
    comment text NOT NULL
);
CREATE INDEX ON marks (student_id);
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    operation text NOT NULL,
    before jsonb,
    after jsonb
);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (operation, before, after) VALUES (TG_OP, to_jsonb(OLD), to_jsonb(NEW));
    RETURN NEW;
END $$;
CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON marks FOR EACH ROW EXECUTE FUNCTION note();
"""

_INSERT = (
    "INSERT INTO marks (key, course_id, student_id, work_id, value, effective_on, comment)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (key) DO NOTHING RETURNING id"
)
_FOUND = "SELECT id FROM marks WHERE key = %s"


class Mark(BaseModel):
    """The body, as our own route takes it."""

    course_id: UUID
    student_id: UUID
    work_id: UUID
    value: Annotated[str, Field(max_length=20)]
    effective_on: date
    comment: Annotated[str, Field(max_length=2000)] = ""


class Recorded(BaseModel):
    """What was recorded."""

    id: int


def _checked(authorization: Annotated[str, Header()]) -> None:
    if authorization != f"Bearer {os.environ[TOKEN]}":
        raise HTTPException(401)


def stock() -> FastAPI:
    """Returns the route on the stock library; its calls block, so FastAPI runs them in threads."""
    application = stock_application(os.environ[URL], os.environ[SCHEMA], CONNECTIONS)
    app = FastAPI()

    @app.post("/v1/marks", status_code=201, dependencies=[Depends(_checked)])
    def record_mark(mark: Mark, idempotency_key: Annotated[str, Header()]) -> Recorded:
        del idempotency_key
        student: StockStudent = application.repository.get(mark.student_id)
        student.record_mark(mark.course_id, mark.work_id, mark.value, mark.effective_on, mark.comment)
        return Recorded(id=application.save(student)[-1].notification.id)

    return app


def table() -> FastAPI:
    """Returns the route on a plain table whose trigger keeps the audit trail."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        arguments = {"autocommit": True, "options": f"-c search_path={os.environ[SCHEMA]}"}
        async with AsyncConnectionPool(
            os.environ[URL], kwargs=arguments, min_size=CONNECTIONS, max_size=CONNECTIONS, open=False
        ) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/marks", status_code=201, dependencies=[Depends(_checked)])
    async def record_mark(mark: Mark, idempotency_key: Annotated[str, Header()]) -> Recorded:
        values = (mark.course_id, mark.student_id, mark.work_id, mark.value, mark.effective_on, mark.comment)
        async with app.state.pool.connection() as connection:
            cursor = await connection.execute(_INSERT, (idempotency_key, *values), prepare=True)
            row = await cursor.fetchone()
            if row is None:
                row = await (await connection.execute(_FOUND, (idempotency_key,), prepare=True)).fetchone()
        return Recorded(id=row[0])

    return app


if __name__ == "__main__":
    kind, descriptor = sys.argv[1:]
    config = uvicorn.Config(
        {"stock": stock, "table": table}[kind](), loop="uvloop", http="httptools", log_level="error", access_log=False
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])
