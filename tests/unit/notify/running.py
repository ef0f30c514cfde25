"""Notify on a real Postgres, its loops stepped by hand, its providers stand-ins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

import httpx
from pydantic import SecretStr

from services.notify import app
from services.notify.model import CaseState
from services.notify.senders.loop import Sending
from services.notify.store import metadata
from shared import ledger, timers
from shared.auth import Keys, Principal
from shared.batch import Input
from shared.clock import ManualClock
from shared.contracts.decision import Decision
from shared.contracts.envelope import Event, EventData
from shared.db import Database
from shared.gate import Gate
from shared.http import create_app
from shared.ids import Ids
from shared.log.postgres import PostgresLog
from shared.runtime import Runtime
from shared.sealing import Seal
from shared.service import Assembly
from shared.settings import Settings
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail
from tests.unit.notify.given import CASE, DESTINATIONS, DUE, FRAUD, PAYMENTS, PEOPLE

ROTA = {
    "time_zone": "Europe/Dublin",
    "layers": [{"people": ["ana", "li"], "start": "2026-11-16T09:00:00", "turn": "P7D"}],
}


class AllKeys(Keys):
    """Keys without a database: the secret is the name, and it may do everything."""

    def __init__(self) -> None: ...

    async def authenticate(self, authorization: str | None) -> Principal:
        name = (authorization or "Bearer nobody").removeprefix("Bearer ")
        return Principal(UUID(int=1), name, frozenset(["admin"]))


SEAL = Seal(["a key for tests only"])


@dataclass
class Running:
    runtime: Runtime[CaseState]
    assembly: Assembly
    clock: ManualClock
    client: httpx.AsyncClient
    log: PostgresLog
    sequence: int = 0

    @classmethod
    async def start(cls, url: str, slack: Slack, mail: Mail, **settings: Any) -> Self:
        db = Database(url, "notify")
        async with db.engine.begin() as connection:
            await connection.exec_driver_sql("DROP SCHEMA IF EXISTS notify CASCADE")
            await connection.exec_driver_sql("CREATE SCHEMA notify")
            await connection.run_sync(metadata.create_all)
        await db.close()
        running = await cls.join(url, slack, mail, DUE, **settings)
        await running.configure()
        return running

    @classmethod
    async def join(cls, url: str, slack: Slack, mail: Mail, at: datetime, **settings: Any) -> Self:
        """A replica on tables that are there."""
        clock, db, service = ManualClock(at), Database(url, "notify", seal=SEAL), app.service()
        known = {
            "slack_token": SecretStr("xoxb-test"),
            "slack_signing_secret": SecretStr("signing"),
            "slack_api_url": slack.url,
            "smtp_url": SecretStr(mail.url),
            "smtp_from": "tocsin@example.com",
            "public_url": "https://tocsin.example",
            "send_concurrency": 8,
        }
        log = PostgresLog(Database(url, "log"), clock, 4)
        runtime = Runtime(Settings(**known | settings), service, db, clock, Ids(clock), log)
        async with db.transaction() as tx:
            await app.first_start(tx, clock.now())
        assembly = app.assemble(runtime)
        api = create_app("notify", [assembly.router], AllKeys(), 100_000)
        transport = httpx.ASGITransport(Gate(api, Ids(clock), {"": 1_000_000}))
        headers = {"Authorization": "Bearer bo"}
        client = httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)
        return cls(runtime, assembly, clock, client, log)

    async def stop(self) -> None:
        await self.client.aclose()
        for loop in self.assembly.loops:
            if loop.close is not None:
                await loop.close()
        await self.runtime.db.close()

    async def configure(self) -> None:
        people = {name: body for name, body in PEOPLE.items() if body}
        for name, body in people.items():
            await self.ok("PUT", f"/v1/people/{name}", body)
        for name, body in DESTINATIONS.items():
            await self.ok("PUT", f"/v1/destinations/{name}", body)
        await self.ok("PUT", "/v1/schedules/payments-primary", ROTA)
        await self.ok("PUT", "/v1/escalation-policies/payments", PAYMENTS)
        await self.ok("PUT", "/v1/escalation-policies/fraud", FRAUD)

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.client.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def tell(self, *happened: EventData, case_id: UUID = CASE) -> list[Decision[CaseState]]:
        """What the worker does with one batch, but that it begins nothing of what is decided."""
        return await self.runtime.command(self._inputs(happened))

    async def read(self, *happened: EventData) -> None:
        """What the worker does with one batch."""
        assert self.runtime.begin is not None
        inputs = self._inputs(happened)
        async with self.runtime.unit() as work:
            await work.lock([each.case_id for each in inputs])
            decided = await work.apply(inputs)
            await self.runtime.begin(work, {i.case_id: d.state for i, d in zip(inputs, decided, strict=True)})

    def _inputs(self, happened: Sequence[EventData]) -> list[Input]:
        first, self.sequence = self.sequence + 1, self.sequence + len(happened)
        events = [
            Event(self.runtime.ids.new(), "test", "test", number, self.clock.now(), data)
            for number, data in enumerate(happened, first)
        ]
        return [Input(each.case_id, each) for each in events]

    @property
    def sending(self) -> Sending:
        claims = self.assembly.loops[0].step
        sending: Sending = claims.__self__  # type: ignore[attr-defined]
        return sending

    async def pump(self) -> None:
        """Claim and send until nothing is due."""
        while await self.sending.claim() == 0.0:
            while not self.sending.idle:
                await self.sending.send()
            await self.record()

    async def record(self) -> None:
        """What the recording loop does, where there is an answer."""
        while not self.sending._answered.empty():
            await self.sending.record()

    async def until(self, at: datetime, step: timedelta = timedelta(seconds=1)) -> None:
        """Let time pass: timers fire and messages leave."""
        while True:
            await self.fire()
            await self.pump()
            if self.clock.now() >= at:
                return
            self.clock.set(min(at, self.clock.now() + step))

    async def fire(self) -> None:
        """What the ticker does."""
        now = self.clock.now()
        async with self.runtime.unit() as work:
            due = await timers.due(work.tx, now, 500, dict.fromkeys(range(4), now))
            taken = await work.take(due)
            if taken:
                await work.apply([Input(each.case_id, each) for each in taken])

    async def page(self) -> dict[str, Any]:
        """The newest page, whole."""
        [newest, *_] = (await self.ok("GET", "/v1/pages"))["items"]
        found: dict[str, Any] = await self.ok("GET", f"/v1/pages/{newest['id']}")
        return found

    async def deliveries(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ok("GET", f"/v1/deliveries{query}"))["items"]
        return found

    async def balance(self) -> dict[str, int]:
        """The difference of each hop that is whole."""
        async with self.runtime.db.transaction() as tx:
            entries = await self.assembly.ledger(tx)
        return {line.hop: line.difference for line in ledger.merge(entries) if line.whole}
