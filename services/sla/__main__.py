"""``python -m services.sla`` runs this service alone."""

from services.sla.app import MEMBER
from shared.process import run_alone

if __name__ == "__main__":
    run_alone(MEMBER)
