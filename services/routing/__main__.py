"""Runs routing alone: ``python -m services.routing``."""

from services.routing.app import MEMBER
from shared.process import run_alone

if __name__ == "__main__":
    run_alone(MEMBER)
