"""HTTP routes of notify: what admins configure, pages and acting on them, deliveries, silences, problems."""

from fastapi import APIRouter

from services.notify.api import acting, configuring, deliveries, links, problems, schedules, silences, slack
from services.notify.model import CaseState
from shared.runtime import Runtime


def router(runtime: Runtime[CaseState], signing_key: links.SigningKey) -> APIRouter:
    whole = APIRouter()
    for part in (
        schedules.router(runtime),  # before the resources: `{name}.ics` would be a name to them
        configuring.router(runtime),
        silences.router(runtime),
        acting.router(runtime),
        links.router(runtime, signing_key),
        deliveries.router(runtime),
        slack.router(runtime),
        problems.router(runtime),
    ):
        whole.include_router(part)
    return whole
