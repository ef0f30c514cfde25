"""``python -m services.routing`` runs this service alone."""

from services.routing.app import assemble, service
from shared.process import Member, run_alone

run_alone(Member(service, assemble))
