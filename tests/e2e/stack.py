"""A whole Tocsin as real processes: embedded (one process), or apart (a Kafka, a Postgres, four services).

The same story runs on both. Everything lives in one folder; ``stop`` ends every process and removes it.
"""

import secrets
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import httpx

from deploy.kafka.local import LocalKafka
from shared.embedded import EmbeddedPostgres, running_url
from tests.e2e.client import JSON, Client, Routes, until
from tests.e2e.programs import Program, free_port, python
from tests.e2e.sinks import Sinks

SERVICES = ("intake", "routing", "sla", "notify")
READY_WITHIN_S = 60.0
SIGNING_SECRET = "a-signing-secret-of-the-tests"


class Stack(ABC):
    """What both ways of running have in common."""

    name: str

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        # Not under pytest's tmp_path: the user that Postgres runs as, where we are root, must be able to pass.
        self.folder = Path(tempfile.mkdtemp(prefix="tocsin-e2e-"))
        self.folder.chmod(0o711)
        self.key = f"key_{secrets.token_urlsafe(24)}"
        self.sinks = Sinks(self.folder)
        self.programs: dict[str, Program] = {}
        self._settings = dict(settings or {})
        self._clients: list[Client] = []

    def environment(self, port: int) -> dict[str, str]:
        return {
            "TOCSIN_PORT": str(port),
            "TOCSIN_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "TOCSIN_DATA_DIR": str(self.folder / "data"),
            "TOCSIN_ADMIN_KEY": self.key,
            "TOCSIN_SECRET_KEY": "seals what tests store",
            "TOCSIN_SLACK_TOKEN": "xoxb-tests",
            "TOCSIN_SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "TOCSIN_SLACK_API_URL": self.sinks.slack_url,
            "TOCSIN_SMTP_URL": self.sinks.smtp_url,
            "TOCSIN_RATE_LIMIT": "1000000",
            "TOCSIN_EGRESS_ALLOW": "127.0.0.1",  # the stand-ins
            **self._settings,
        }

    @property
    @abstractmethod
    def bases(self) -> dict[str, str]:
        """The base URL of each service."""

    @property
    @abstractmethod
    def database_url(self) -> str: ...

    @abstractmethod
    def start(self) -> None: ...

    def cli_environment(self) -> dict[str, str]:
        """For the ``tocsin`` command, beside what runs."""
        return self.environment(0)

    def program(self, service: str) -> Program:
        """The (first) process that runs a service."""
        return self.programs.get(service) or self.programs["tocsin"]

    def documents(self) -> dict[str, JSON]:
        """The OpenAPI document behind each base URL."""
        return {
            base: httpx.get(f"{base}/openapi.json", timeout=30).json() for base in dict.fromkeys(self.bases.values())
        }

    def client(self, key: str | None = None) -> Client:
        made = Client(Routes(self.documents()), key or self.key)
        self._clients.append(made)
        return made

    def wait_ready(self, services: Iterable[str] = SERVICES) -> None:
        for service in services:
            self._until_ready(self.bases[service])

    def _until_ready(self, base: str) -> None:
        until(lambda: self._is_ready(base), READY_WITHIN_S, f"{base} becomes ready")

    def _is_ready(self, base: str) -> bool:
        if trouble := [f"{p.name}: {p.died()}" for p in self.programs.values() if p.died()]:
            raise AssertionError("\n".join(trouble))
        try:
            return httpx.get(f"{base}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        """End every process in order, and remove the folder."""
        for client in self._clients:
            client.close()
        try:
            for program in reversed(self.programs.values()):
                program.stop()
            for ground in self.grounds.values():
                ground.stop()
            self.sinks.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def grounds(self) -> dict[str, EmbeddedPostgres | LocalKafka]:
        """What the services stand on, where that is not one of them."""
        return {}

    def logs(self) -> Iterable[tuple[str, str]]:
        """The last lines of every process."""
        for program in [*self.programs.values(), *self.sinks.programs]:
            yield program.name, program.tail()

    def keep(self, folder: Path) -> Path:
        """Copy the logs to where they outlive the stack."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in (*self.folder.glob("*.log"), *self.folder.glob("*.jsonl")):
            shutil.copy(path, folder / path.name)
        return folder

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            for name, text in self.logs():
                print(f"--- {name}\n{text}")
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Embedded(Stack):
    """``tocsin up``: all services in one process, on the embedded Postgres."""

    name = "embedded"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(settings)
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        command = python("-m", "services.cli", "up")
        self.programs["tocsin"] = Program("tocsin", command, self.folder, self.environment(port))

    @property
    def bases(self) -> dict[str, str]:
        return dict.fromkeys(SERVICES, self._url)

    @property
    def database_url(self) -> str:
        url = running_url(self.folder / "data")
        assert url is not None, "the embedded Postgres does not run"
        return url

    def start(self) -> None:
        self.sinks.start()
        self.programs["tocsin"].start()
        self.wait_ready()


class Apart(Stack):
    """Kafka (or the log in Postgres), Postgres, and each service in processes of its own; ``replicas``: how many."""

    name = "kafka"

    def __init__(
        self, settings: Mapping[str, str] | None = None, replicas: Mapping[str, int] | None = None, kafka: bool = True
    ) -> None:
        super().__init__(settings)
        self.postgres = EmbeddedPostgres(self.folder / "postgres")
        self.kafka = LocalKafka(self.folder / "kafka") if kafka else None
        self._counts = replicas if replicas is not None else dict.fromkeys(SERVICES, 1)
        self._bases: dict[str, str] = {}
        self.replicas: dict[str, list[str]] = {}  # their base URLs, by that of the first
        self._ground: dict[str, str] = {}  # settings that say where Postgres and Kafka are

    @property
    def bases(self) -> dict[str, str]:
        return self._bases

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def grounds(self) -> dict[str, EmbeddedPostgres | LocalKafka]:
        return {"postgres": self.postgres, **({"kafka": self.kafka} if self.kafka else {})}

    def start(self) -> None:
        self.sinks.start()
        for ground in self.grounds.values():
            ground.start()
        notify = free_port()  # people's links lead to notify
        self._ground = {"TOCSIN_DATABASE_URL": self.postgres.url}
        if self.kafka is not None:
            self._ground["TOCSIN_LOG_URL"] = self.kafka.url
        for service, replicas in self._counts.items():
            for number in range(1, replicas + 1):
                port = notify if (service, number) == ("notify", 1) else free_port()
                public = {"TOCSIN_PUBLIC_URL": f"http://127.0.0.1:{notify}"}
                name = service if number == 1 else f"{service}-{number}"
                environment = self.environment(port) | self._ground | public
                self.programs[name] = Program(name, python("-m", f"services.{service}"), self.folder, environment)
                first = self._bases.setdefault(service, f"http://127.0.0.1:{port}")
                self.replicas.setdefault(first, []).append(f"http://127.0.0.1:{port}")
        migrate = Program("migrate", python("-m", "services.cli", "migrate"), self.folder, self.cli_environment())
        migrate.start()
        assert migrate.wait(60), f"migrate does not end\n{migrate.tail()}"
        for program in self.programs.values():
            program.start()
        for base in (each for of in self.replicas.values() for each in of):
            self._until_ready(base)

    def cli_environment(self) -> dict[str, str]:
        return super().cli_environment() | self._ground


KINDS: dict[str, type[Embedded] | type[Apart]] = {Embedded.name: Embedded, Apart.name: Apart}
