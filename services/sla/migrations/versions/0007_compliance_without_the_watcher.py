"""without the watcher"""

from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE OR REPLACE VIEW compliance AS
        SELECT c.id AS clock_id, c.case_id, f.number AS case_number, c.metric, c.instance,
          c.breached_at IS NULL AS in_time, c.state, c.due_at, CAST(c.due_at AT TIME ZONE 'UTC' AS date) AS due_on,
          c.started_at, c.met_at, CASE WHEN c.breached_at IS NOT NULL THEN c.met_at - c.breached_at END AS late_by,
          c.team, coalesce(f.words ->> 'priority', 'normal') AS priority,
          c.policy, c.policy_version, c.calendar, c.calendar_version, c.within,
          f.opening ->> 'channel' AS channel, f.opening ->> 'customer_tier' AS customer_tier,
          f.opening ->> 'customer_country' AS customer_country, c.history
        FROM clock c JOIN case_facts f ON f.case_id = c.case_id
        WHERE c.due_at IS NOT NULL AND (c.state = 'met' OR c.state = 'breached')
          AND f.opening ->> 'source' IS DISTINCT FROM 'tocsin-watch'
        """
    )


def downgrade() -> None:
    raise RuntimeError("forward only: restore a backup, or write a migration that goes on from here")
