"""HTTP routes of notify: what admins configure, pages and acting on them, deliveries, silences, problems."""

import asyncio

from fastapi import APIRouter

from services.notify.api import (
    acting,
    configuring,
    deliveries,
    digests,
    duty,
    feeds,
    links,
    overrides,
    problems,
    replies,
    schedules,
    silences,
    slack,
    templates,
)
from services.notify.model import CaseState
from shared.runtime import Runtime


def router(runtime: Runtime[CaseState], signing_key: links.SigningKey, wake_calendars: asyncio.Event) -> APIRouter:
    whole = APIRouter()
    for part in (
        feeds.router(runtime, signing_key),  # before the resources: `{name}.ics` would be a name to them
        schedules.router(runtime),
        overrides.router(runtime),
        duty.router(runtime),
        configuring.router(runtime, wake_calendars),
        silences.router(runtime),
        acting.router(runtime),
        replies.router(runtime),
        links.router(runtime, signing_key),
        deliveries.router(runtime),
        digests.router(runtime, signing_key),
        slack.router(runtime),
        templates.router(runtime),
        problems.router(runtime),
    ):
        whole.include_router(part)
    return whole
