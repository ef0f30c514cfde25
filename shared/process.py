"""From settings to a running process, in order: database, migrations, clock, log, keys, first objects, then all loops.

``run`` is embedded mode's and distributed mode's one way to start.
"""

import asyncio
import contextlib
import gc
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from shared import leases, migrate, operations, sealing, telemetry
from shared.auth import Keys
from shared.batch import Service
from shared.clock import DatabaseClock
from shared.db import Database, sqlstate
from shared.embedded import EmbeddedPostgres, running_url
from shared.errors import Misconfigured
from shared.gate import Gate
from shared.http import create_app
from shared.ids import Ids
from shared.log import Log, LogMisconfigured
from shared.log.kafka import KafkaConfig, KafkaLog
from shared.log.postgres import PostgresLog
from shared.runtime import Runtime
from shared.sealing import Seal
from shared.service import Assemble, Part, Runner
from shared.settings import Settings, read_settings

DATABASE_WITHIN_S = 60.0  # how long a start waits for the database
REFUSED = ("28", "3D")  # classes of SQLSTATE: a wrong user or password, no such database
# New objects before the collector looks: batches make many, none in cycles. Each third time it looks at those that
# outlived one look, which 60,000 objects make a pause of 15 ms (twenty looks: one of 90 ms); at all others seldom.
GC_THRESHOLDS = 10_000, 1, 1_000
MIGRATED_WITHIN_S = 60.0  # how long a service waits for `tocsin migrate`

log = structlog.get_logger()


@dataclass(frozen=True)
class Member:
    """A service and how to put it together."""

    service: Callable[[], Service[Any]]
    assemble: Assemble


@dataclass
class Base:
    """What everything stands on."""

    settings: Settings
    url: str
    clock: DatabaseClock
    ids: Ids
    own: Database  # for the clock and the keys
    postgres: EmbeddedPostgres | None
    seal: Seal

    def database(self, schema: str, repeats: bool = False) -> Database:
        return Database(self.url, schema, seal=self.seal, repeats=repeats)


@asynccontextmanager
async def base(settings: Settings, attach: bool = False) -> AsyncIterator[Base]:
    """The database, embedded where no URL is set, and its time. ``attach``: also where `tocsin up` runs it already."""
    postgres, seal = None, sealing.load(settings)
    if settings.database_url is None and attach and (running := running_url(settings.data_dir)):
        url = running
    elif settings.database_url is None:
        postgres = EmbeddedPostgres(settings.data_dir)
        url = await asyncio.to_thread(postgres.start)
    else:
        url = settings.database_url.get_secret_value()
    auth_url = settings.auth_database_url.get_secret_value() if settings.auth_database_url else url
    clock = DatabaseClock()
    own = Database(auth_url, "auth", pool_size=2, seal=seal)
    try:
        await _first_sample(clock, own)
        yield Base(settings, url, clock, Ids(clock), own, postgres, seal)
    finally:
        await own.close()
        if postgres is not None:
            await asyncio.to_thread(postgres.stop)


async def _first_sample(clock: DatabaseClock, db: Database) -> None:
    """Wait for the database, which may be starting too; but not where it refuses us."""
    deadline = time.monotonic() + DATABASE_WITHIN_S
    while True:
        try:
            return await _sample(clock, db)
        except (DBAPIError, OSError) as away:
            refused = (sqlstate(away) or "")[:2] in REFUSED
            if refused or time.monotonic() > deadline:
                raise SystemExit(f"The database cannot be used: {str(away).splitlines()[0]}") from None
            log.warning("waiting for the database", error=str(away).splitlines()[0])
            await asyncio.sleep(1)


async def _sample(clock: DatabaseClock, db: Database) -> None:
    async with db.transaction() as tx:
        asked_at = time.monotonic()
        clock.sample(await tx.scalar("SELECT clock_timestamp()"), asked_at, time.monotonic())


def make_log(on: Base, repeats: bool = False) -> Log:
    settings = on.settings
    if settings.log_url is None:
        alone = on.postgres is not None
        return PostgresLog(
            on.database("log", repeats), on.clock, settings.kafka_partitions, alone=alone, lease_s=settings.lease_s
        )
    password = settings.kafka_sasl_password
    return KafkaLog(
        KafkaConfig(
            bootstrap_servers=settings.bootstrap_servers,
            partitions=settings.kafka_partitions,
            replication=settings.kafka_replication,
            retention_days=settings.log_days,
            topic_prefix=settings.kafka_topic_prefix,
            security_protocol=settings.kafka_security_protocol,
            sasl_mechanism=settings.kafka_sasl_mechanism,
            sasl_username=settings.kafka_sasl_username,
            sasl_password=password.get_secret_value() if password else None,
            ssl_cafile=str(settings.kafka_ssl_cafile) if settings.kafka_ssl_cafile else None,
        )
    )


async def prepare(on: Base, members: Sequence[Member]) -> None:
    """Migrate every service's schema and make the objects of a first start."""
    keys = Keys(on.own, on.clock, on.ids)
    await keys.migrate()
    admin_key = on.settings.admin_key
    await keys.first_start(
        admin_key.get_secret_value() if admin_key else None, on.settings.data_dir, on.postgres is None
    )
    for member in members:
        service = member.service()
        db = on.database(service.card.name)
        try:
            await migrate.upgrade(db, service)
            async with db.transaction() as tx:
                if on.postgres is not None:
                    await leases.end_all(tx)  # those of the run before: nobody else can be using this database
                if service.first_start is not None:
                    await service.first_start(tx, on.clock.now())
        finally:
            await db.close()


async def run(
    settings: Settings, members: Sequence[Member], title: str, alone: bool, ready: Callable[[str], None] | None = None
) -> None:
    """Run the members until SIGTERM or SIGINT. ``alone``: distributed mode, where `tocsin migrate` runs apart."""
    telemetry.configure(title, settings.log_level, settings.otlp_endpoint)
    if alone and settings.database_url is None:
        raise SystemExit("Set TOCSIN_DATABASE_URL: services that run apart share a Postgres. `tocsin up` needs none.")
    listening = _listen(settings)
    async with base(settings) as on, contextlib.AsyncExitStack() as opened:
        if not alone:
            await prepare(on, members)
        the_log = make_log(on)
        opened.push_async_callback(the_log.stop)
        try:
            await the_log.start()
        except LogMisconfigured as wrong:
            raise SystemExit(str(wrong)) from None
        parts = []
        for member in members:
            service = member.service()
            db = on.database(service.card.name)
            opened.push_async_callback(db.close)
            if alone:
                await _wait_until_migrated(db, service)
            settings = await _with_mail_key(settings, on)
            runtime = Runtime(settings, service, db, on.clock, on.ids, the_log)
            try:
                parts.append(Part(runtime, member.assemble(runtime), _apart(runtime, member, on)))
            except Misconfigured as wrong:
                raise SystemExit(f"tocsin: {wrong}") from None
        runner = Runner(settings, parts, on.own)
        app = application(settings, parts, runner, Keys(on.own, on.clock, on.ids), on.ids, title)
        loop = asyncio.get_running_loop()
        for stopper in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(stopper, runner.stop.set)
        spare_the_collector()
        if ready is not None:
            ready(f"http://{settings.host}:{listening.getsockname()[1]}")
        await runner.run(app, listening, on.postgres.wait() if on.postgres else None)


def spare_the_collector() -> None:
    """What is there now stays: the collector need not look at it again and again; and it looks seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _apart(runtime: Runtime[Any], member: Member, on: Base) -> Runtime[Any]:
    """The same for a thread of its own: connections belong to the event loop that made them."""
    db = on.database(runtime.service.card.name, repeats=True)
    return replace(runtime, service=member.service(), db=db, ids=Ids(on.clock), log=make_log(on, repeats=True))


async def _with_mail_key(settings: Settings, on: Base) -> Settings:
    """Every service must have the same: notify signs, intake verifies."""
    if settings.mail_key is not None:
        return settings
    key = await Keys(on.own, on.clock, on.ids).shared_secret("mail")
    return settings.model_copy(update={"mail_key": SecretStr(key)})


def application(settings: Settings, parts: Sequence[Part], runner: Runner, keys: Keys, ids: Ids, title: str) -> Gate:
    """The HTTP side of this process."""
    routers = [part.assembly.router for part in parts]
    app: FastAPI = create_app(
        f"Tocsin {title}", [*routers, operations.routes(runner.health, parts, keys)], keys, settings.rate_limit
    )
    limits = {
        "": settings.body_limit,
        "/v1/rulesets": settings.ruleset_body_limit,
        "/v1/contacts/batch": settings.batch_body_limit,
        "/v1/activities/batch": settings.batch_body_limit,
        "/v1/contacts/email": settings.email_body_limit,
    }
    shortcuts = {path: way for part in parts for path, way in part.assembly.shortcuts.items()}
    return Gate(app, ids, limits, shortcuts)


async def _wait_until_migrated(db: Database, service: Service[Any]) -> None:
    deadline = asyncio.get_running_loop().time() + MIGRATED_WITHIN_S
    while not await migrate.is_current(db, service):
        if asyncio.get_running_loop().time() > deadline:
            raise SystemExit(f"The schema {service.card.name} is not at this version. Run `tocsin migrate` first.")
        await asyncio.sleep(1)


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.host, settings.port), backlog=2048)
    except OSError as wrong:
        raise SystemExit(
            f"Cannot listen on {settings.host}:{settings.port}: {wrong.strerror}. Set TOCSIN_PORT to a free port."
        ) from None


def run_alone(member: Member) -> None:
    """``python -m services.<name>``."""
    settings = read_settings()
    if settings.log_url is None and settings.database_url is None:
        raise SystemExit("Set TOCSIN_DATABASE_URL and TOCSIN_LOG_URL=kafka://host:port to run services apart.")
    _loop_run(run(settings, [member], member.service().card.name, alone=True))


def _loop_run(main: Any) -> None:
    import uvloop

    uvloop.run(main)
