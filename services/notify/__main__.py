"""Runs notify alone: ``python -m services.notify``."""

from services.notify.app import MEMBER
from shared.process import run_alone

if __name__ == "__main__":
    run_alone(MEMBER)
