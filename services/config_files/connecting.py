"""What every command that talks to a server shares: its options, the key, and problems as words."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from services.config_files.server import Refused, Server
from shared.settings import Settings, read_settings

NOTHING, CHANGES, ERROR = 0, 1, 2  # exit codes

ServerOption = Annotated[str | None, typer.Option("--server", help="Its address; TOCSIN_PUBLIC_URL where left out")]
KeyOption = Annotated[Path | None, typer.Option("--key-file", help="A file with the API key")]


def fail(text: str, code: int) -> NoReturn:
    print(f"tocsin: {text}", file=sys.stderr)
    raise SystemExit(code)


@contextmanager
def errors() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        fail(str(refused), ERROR)
    except OSError as wrong:
        fail(str(wrong), ERROR)


def connect(url: str | None, key_file: Path | None) -> Server:
    settings = read_settings()
    return Server(url or settings.url, _key(settings, key_file))


def _key(settings: Settings, key_file: Path | None) -> str:
    if key_file is not None:
        return key_file.read_text().strip()
    for given in (settings.api_key, settings.admin_key):
        if given is not None:
            return given.get_secret_value()
    made = settings.data_dir / "admin-key"
    if made.exists():
        return made.read_text().strip()
    fail(
        "which key? Set TOCSIN_API_KEY or TOCSIN_ADMIN_KEY, or give --key-file; to push it needs config:write.",
        ERROR,
    )
