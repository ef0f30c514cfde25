"""``python -m services.intake`` runs this service alone."""

from services.intake.app import assemble, service
from shared.process import Member, run_alone

run_alone(Member(service, assemble))
