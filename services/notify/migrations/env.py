"""Run by Alembic; everything is in ``shared/migrate.py``."""

from shared.migrate import run_environment

run_environment()
