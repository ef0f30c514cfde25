"""Runs intake alone: ``python -m services.intake``."""

from services.intake.app import MEMBER
from shared.process import run_alone

if __name__ == "__main__":
    run_alone(MEMBER)
