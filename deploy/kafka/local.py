"""A real Apache Kafka on this machine, one node, without Docker: ``python -m deploy.kafka --dir .kafka --port 9092``.

The jars come from Maven, once, into a folder that all runs share; the data of each run is in its own. Tests and chaos
use the same ``LocalKafka``.
"""

import argparse
import base64
import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from string import Template

from shared.child import Child, ChildEnded

HERE = Path(__file__).resolve().parent
JARS = HERE.parent.parent / ".kafka" / "jars"
JAVA_MAJOR = 17
HEAP = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC")
DOWNLOAD_TIMEOUT_S = 900
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LOOK_EVERY_S = 0.02
STARTED = "Kafka Server started"


class LocalKafkaError(Exception):
    """Kafka cannot run here; one line that says what to do."""


class LocalKafka:
    """One broker with its data under ``folder``. The same again after ``stop`` or ``kill`` with ``start``.

    ``port`` 0 takes a free one, and keeps it for later starts.
    """

    def __init__(self, folder: Path | str, port: int = 0, jars: Path = JARS) -> None:
        self.folder = Path(folder).absolute()
        self._jars = jars
        self.port = port or free_port()
        self.pid = 0  # of the last start
        self._child: Child | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """For ``TOCSIN_LOG_URL``."""
        return f"kafka://{self.bootstrap_servers}"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self, say: Callable[[str], None] = lambda _line: None) -> None:
        """Start the broker and wait until it serves. Raises ``LocalKafkaError``. Blocks for a few seconds."""
        java, jars = _java(), _jars(self._jars, say)
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = self._write_settings()
        run = [java, *HEAP, f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}", "-cp", f"{jars}/*"]
        if not (self.folder / "formatted").exists():
            self._format([*run, "kafka.tools.StorageTool"], settings)
        command = [*run, "kafka.Kafka", str(settings)]
        self._child = Child(command, self.folder / "kafka.log", on_parent_death=signal.SIGKILL)
        self.pid = self._child.start()
        self._wait_until_started(self._child)

    def stop(self) -> None:
        """End it in order."""
        if self._child:
            self._child.signal(signal.SIGTERM)
            if not self._child.wait(STOP_TIMEOUT_S):
                self.kill()

    def kill(self) -> None:
        """kill -9. What it had acknowledged is kept: the pages are the system's, not the process's."""
        if self._child:
            self._child.signal(signal.SIGKILL)
            self._child.wait(STOP_TIMEOUT_S)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        assert self._child
        self._child.signal(signal.SIGSTOP, asked=False)

    def resume(self) -> None:
        assert self._child
        self._child.signal(signal.SIGCONT, asked=False)

    def wait(self) -> None:
        """Until it ends. Raises ``LocalKafkaError`` with its last lines where nobody asked for that."""
        assert self._child
        try:
            self._child.wait()
            self._child.check()
        except ChildEnded as ended:
            raise LocalKafkaError(str(ended)) from ended

    def _wait_until_started(self, child: Child) -> None:
        give_up = time.monotonic() + START_TIMEOUT_S
        while STARTED not in child.tail():
            if not child.running:
                raise LocalKafkaError(f"Kafka did not start in {self.folder}: {child.failure()}")
            if time.monotonic() > give_up:
                self.kill()
                raise LocalKafkaError(f"Kafka did not start within {START_TIMEOUT_S:.0f} s:\n{child.tail()}")
            time.sleep(LOOK_EVERY_S)

    def _write_settings(self) -> Path:
        """The controller's port is written into the data when it is formatted, so it is kept."""
        remembered = self.folder / "controller.port"
        if not remembered.exists():
            remembered.write_text(str(free_port()))
        template = Template((HERE / "server.properties").read_text())
        settings = self.folder / "server.properties"
        settings.write_text(
            template.substitute(
                data=self.folder / "data", port=self.port, controller_port=remembered.read_text().strip()
            )
        )
        return settings

    def _format(self, tool: list[str], settings: Path) -> None:
        shutil.rmtree(self.folder / "data", ignore_errors=True)  # of a format that was interrupted
        command = [*tool, "format", "-t", _cluster_id(), "-c", str(settings), "--standalone"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalKafkaError(f"Kafka could not format {self.folder / 'data'}:\n{done.stdout}{done.stderr}")
        (self.folder / "formatted").touch()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cluster_id() -> str:
    """Kafka's way to write 16 random bytes; a dash in front would look like an option."""
    while (made := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")).startswith("-"):
        continue
    return made


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr if java else ""
    version = re.search(r'version "(\d+)', shown)
    if java is None or version is None or int(version[1]) < JAVA_MAJOR:
        found = f"found {version[1]}" if version else "found none"
        raise LocalKafkaError(
            f"Kafka needs Java {JAVA_MAJOR} or newer ({found}): apt install openjdk-17-jre-headless maven,"
            " or brew install openjdk@17 maven, or set JAVA_HOME"
        )
    return java


def _jars(folder: Path, say: Callable[[str], None]) -> Path:
    """The jars of ``pom.xml``, downloaded where they are not there yet."""
    wanted = folder / ("kafka-" + _version())
    if wanted.exists():
        return wanted
    maven = shutil.which("mvn")
    if maven is None:
        raise LocalKafkaError("Kafka's jars come by Maven, once: apt install maven, or brew install maven")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wanted.exists():
            return wanted  # another run was faster
        say(f"Downloading Kafka {_version()} by Maven, once: 43 MB into {wanted}")
        begun = Path(tempfile.mkdtemp(prefix="new-", dir=folder))
        copy = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={begun}")
        command = [maven, "-B", "-q", "-C", "-f", str(HERE / "pom.xml"), *copy]
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=DOWNLOAD_TIMEOUT_S,
                check=False,
            )
            if done.returncode != 0:
                raise LocalKafkaError(
                    f"Maven could not download Kafka's jars; is there a network?\n{done.stdout[-2000:]}"
                )
            begun.chmod(0o755)
            begun.rename(wanted)
        finally:
            shutil.rmtree(begun, ignore_errors=True)
    return wanted


def _version() -> str:
    found = re.search(r"<kafka.version>(.+)</kafka.version>", (HERE / "pom.xml").read_text())
    assert found
    return found[1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make kafka", description="A real single-node Kafka in the foreground.")
    parser.add_argument("--dir", type=Path, default=JARS.parent, help="where its data is (default: .kafka)")
    parser.add_argument("--port", type=int, default=9092)
    arguments = parser.parse_args()
    kafka = LocalKafka(arguments.dir, arguments.port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        kafka.start(say=lambda line: print(line, flush=True))
        print(f"Kafka {_version()} is up. Use it with:  TOCSIN_LOG_URL={kafka.url}\nCtrl-C stops it.", flush=True)
        kafka.wait()
    except LocalKafkaError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        kafka.stop()


if __name__ == "__main__":
    main()
