"""Folders of servers whose data nobody keeps: in memory, where this machine offers enough of it."""

import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes free: containers are often given 64 MB of it


def scratch(prefix: str) -> Path:
    """A new folder. A database is over 500 files, and some disks take a millisecond to make each."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if roomy else None))
    folder.chmod(0o711)  # Postgres runs as another user where we are root
    return folder
