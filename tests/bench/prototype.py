"""What a plain group commit can do: the bare route, and one flusher that writes all that waits by ``unnest``.

A row of the contact and a row of its event in one transaction, straight on asyncpg: no claims, no cases, no bounds.
``python -m tests.bench.prototype --port 9000 --database postgresql://…``
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from fastapi import FastAPI

from services.intake.api.answers import ContactAccepted
from services.intake.model import Contact
from services.intake.model.posted import NewContact
from shared.clock import SystemClock
from shared.ids import Ids
from tests.bench.bare import normalized, serve

_TABLES = (
    "DROP SCHEMA IF EXISTS prototype CASCADE",
    "CREATE SCHEMA prototype",
    "CREATE TABLE prototype.contact (id uuid PRIMARY KEY, source text, external_id text, content jsonb NOT NULL)",
    "CREATE TABLE prototype.outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, case_id uuid, body bytea)",
)
_CONTACTS = (
    "INSERT INTO prototype.contact SELECT id, source, external_id, CAST(content AS jsonb)"
    " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS n (id, source, external_id, content)"
)
_EVENTS = "INSERT INTO prototype.outbox (case_id, body) SELECT * FROM unnest($1::uuid[], $2::bytea[])"

Waiting = tuple[UUID, Contact, asyncio.Future[None]]


def application(database: str) -> FastAPI:
    waiting: asyncio.Queue[Waiting] = asyncio.Queue()
    ids = Ids(SystemClock())

    async def flush(connection: asyncpg.Connection) -> None:
        while True:
            group = [await waiting.get()]
            while not waiting.empty():
                group.append(waiting.get_nowait())
            keys = [each[0] for each in group]
            contents = [each[1].model_dump_json() for each in group]
            sources = [each[1].source for each in group]
            async with connection.transaction():
                await connection.execute(_CONTACTS, keys, sources, [each[1].external_id for each in group], contents)
                await connection.execute(_EVENTS, keys, [content.encode() for content in contents])
            for _, _, done in group:
                done.set_result(None)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        connection = await asyncpg.connect(database)
        for statement in _TABLES:
            await connection.execute(statement)
        flusher = asyncio.create_task(flush(connection))
        yield
        flusher.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/contacts", status_code=202, response_model=ContactAccepted)
    async def post_contact(new: NewContact) -> dict[str, object]:
        contact = normalized(new)
        key, done = ids.new(), asyncio.get_running_loop().create_future()
        waiting.put_nowait((key, contact, done))
        await done
        return {"contact_id": key, "case_id": key, "case_number": "C-1", "opened_case": True}

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True)
    arguments = parser.parse_args()
    serve(application(arguments.database), arguments.port)


if __name__ == "__main__":
    main()
