"""Who may read the view ``sla.compliance``: a role of the cluster that can read nothing else."""

import structlog

from shared.db import Tx

READER = "tocsin_reader"
VIEW = "compliance"

log = structlog.get_logger()

# Roles belong to the whole cluster: another database of it may make the same one at the same time, and on a shared
# cluster we may not be allowed to.
_MAKE = f"""DO $make$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER}') THEN CREATE ROLE {READER} NOLOGIN; END IF;
  IF NOT pg_has_role(current_user, '{READER}', 'MEMBER') THEN GRANT {READER} TO CURRENT_USER; END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL; END $make$"""


async def let_read(tx: Tx) -> None:
    """Make the role where it is not there and we may, and let it read the view; idempotent. Else say so and go on."""
    if await tx.scalar("SELECT to_regclass('compliance')") is None:
        return
    await tx.run(_MAKE)
    if not await has_reader(tx):
        log.warning("no read-only role: this user may not create roles", role=READER, ask="CREATE ROLE, by an admin")
        return
    schema = await tx.scalar("SELECT current_schema()")
    await tx.run(f"GRANT USAGE ON SCHEMA {schema} TO {READER}")
    await tx.run(f"GRANT SELECT ON {VIEW} TO {READER}")


async def has_reader(tx: Tx) -> bool:
    return bool(await tx.scalar("SELECT count(*) FROM pg_roles WHERE rolname = :role", role=READER))
