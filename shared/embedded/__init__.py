"""Postgres without an installation, for the embedded default: see ``server.py``."""

from shared.embedded.binaries import EmbeddedError
from shared.embedded.server import EmbeddedPostgres, running_url

__all__ = ["EmbeddedError", "EmbeddedPostgres", "running_url"]
