"""What every client of Kafka here shares: how to connect, errors as the contract names them, and closing in time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from shared.log import LogUnavailable

C = TypeVar("C")  # a producer, a consumer or an admin client; aiokafka has no types

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    """Where Kafka is, what its topics are like, and how long each kind of call may take."""

    bootstrap_servers: str  # host:port,host:port
    partitions: int
    replication: int = 1
    topic_prefix: str = "tocsin."  # of topics and groups
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    retention_days: int = 30
    start_timeout_s: float = 30.0
    request_timeout_s: float = 10.0
    append_timeout_s: float = 15.0
    answer_timeout_s: float = 2.0
    stop_timeout_s: float = 5.0
    session_timeout_s: float = 6.0  # how long a dead member keeps its partitions; not under the broker's minimum
    max_poll_interval_s: float = 300.0

    def connection(self) -> dict[str, Any]:
        """The arguments that every client takes."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "request_timeout_ms": int(self.request_timeout_s * 1000),
        }
        if "SSL" in self.security_protocol:
            options["ssl_context"] = create_ssl_context(cafile=self.ssl_cafile)
        if self.sasl_mechanism:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        return options


@asynccontextmanager
async def reachable(doing: str, timeout_s: float) -> AsyncIterator[None]:
    """Within the time, or ``LogUnavailable``; as for any error of the client."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise LogUnavailable(f"cannot {doing}: {type(error).__name__} {error}".rstrip()) from error


class Closing:
    """Clients on their way out. Closing one can hang while the broker is away, so nobody waits for it for long."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, client: Any) -> asyncio.Task[None]:
        close = client.close if isinstance(client, AIOKafkaAdminClient) else client.stop
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(close())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, timeout_s: float) -> None:
        """Wait for all of them, and cut off what is still left after the time."""
        if self._tasks:
            _, left = await asyncio.wait(set(self._tasks), timeout=timeout_s)
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left, timeout=timeout_s)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.info("a client of Kafka did not close cleanly", error=f"{type(error).__name__}: {error}")


class Kept(Generic[C]):
    """One client, connected when it is first needed, and made anew after it was dropped."""

    def __init__(self, make: Callable[[], C], closing: Closing) -> None:
        self._make = make
        self._closing = closing
        self._client: C | None = None
        self._connecting = asyncio.Lock()

    async def get(self) -> C:
        async with self._connecting:
            if self._client is None:
                self._client = await connected(self._make(), self._closing)
            return self._client

    def drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._closing.begin(client)


async def connected(client: Any, closing: Closing) -> Any:
    try:
        await client.start()
    except BaseException:
        closing.begin(client)
        raise
    return client
