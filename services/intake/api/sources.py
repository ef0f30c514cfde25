"""Routes: the systems that send webhooks. And what is configured of one, for those who receive them."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from services.intake.channels import HOOKS
from services.intake.model import CaseFile
from services.intake.model.sources import SourceSpec
from shared import resources
from shared.db import Tx
from shared.errors import invalid
from shared.resources import Kind, Snapshot
from shared.runtime import Runtime

SOURCE = "source"
SECRETS = "secrets"


def routes(runtime: Runtime[CaseFile]) -> APIRouter:
    kind = Kind(SOURCE, "/v1/sources", SourceSpec, check=_check, kept=_kept)
    return resources.routes(runtime, kind)


class Sources:
    """All sources by name, read again when one changes. Locks nothing: an edit waits for no webhook."""

    def __init__(self) -> None:
        self._kept: tuple[int, Mapping[str, SourceSpec]] | None = None

    async def read(self, tx: Tx) -> Mapping[str, SourceSpec]:
        current = await resources.version(tx, lock="")
        if self._kept is None or self._kept[0] != current:
            found = (await resources.snapshot(tx, current)).of(SOURCE)
            self._kept = (current, {name: _opened(each.body) for name, each in found.items()})
        return self._kept[1]


def _opened(body: Mapping[str, Any]) -> SourceSpec:
    """A secret that this process has no key for is none: what it signed is refused."""
    return SourceSpec.model_validate({**body, SECRETS: [secret for secret in body.get(SECRETS, ()) if secret]})


def _check(name: str, spec: SourceSpec, snapshot: Snapshot) -> None:
    hook = HOOKS.get(spec.kind)
    if hook is None:
        raise invalid(f"kind: {spec.kind!r} is none of {', '.join(HOOKS)}")
    before = snapshot.of(SOURCE).get(name)
    kept = before is not None and before.body.get(SECRETS) and before.body["kind"] == spec.kind
    if not spec.secrets and not kept:
        raise invalid(f"secrets: give the one that the sender signs with. {hook.secret('') or ''}".strip())
    for secret in spec.secrets:
        if wrong := hook.secret(secret):
            raise invalid(f"secrets: {wrong}")


def _kept(spec: SourceSpec, before: Mapping[str, Any] | None) -> dict[str, Any]:
    body = spec.model_dump(mode="json", exclude_unset=True)
    if not spec.secrets and before is not None:
        body[SECRETS] = before[SECRETS]
    return body
