"""lanes by rate, with a breaker"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('delivery', sa.Column('head_start', sa.Integer(), nullable=False, server_default='0'))
    op.alter_column('delivery', 'head_start', server_default=None)
    op.add_column('delivery', sa.Column('rank_at', sa.DateTime(timezone=True)))
    op.execute("UPDATE delivery SET rank_at = next_at")
    op.alter_column('delivery', 'rank_at', nullable=False)
    op.drop_index('delivery_due', table_name='delivery')
    unfinished = sa.text("state IN ('queued', 'held', 'unknown')")
    op.create_index('delivery_due', 'delivery', ['lane', 'rank_at', 'id'], postgresql_where=unfinished)
    op.create_index('delivery_case', 'delivery', ['case_id', 'created_at', 'id'])
    op.create_index('delivery_target', 'delivery', ['target', 'created_at', 'id'])
    op.add_column('lane', sa.Column('rate', sa.Double()))
    op.add_column('lane', sa.Column('burst', sa.Integer()))
    op.add_column('lane', sa.Column('full_at', sa.DateTime(timezone=True)))
    op.add_column('lane', sa.Column('failures', sa.Integer(), nullable=False, server_default='0'))
    op.alter_column('lane', 'failures', server_default=None)
    op.add_column('lane', sa.Column('known_as', sa.Text()))
    # The usual of each kind at this version; the next message to a lane gives it its own.
    op.execute(
        "UPDATE lane SET full_at = next_at, (rate, burst) = (SELECT CASE WHEN pace_ms > 0 THEN 1 ELSE 20 END,"
        " CASE WHEN pace_ms > 0 THEN 1 ELSE 40 END)"
    )
    for name in ('rate', 'burst', 'full_at'):
        op.alter_column('lane', name, nullable=False)
    op.drop_column('lane', 'pace_ms')
    op.drop_column('lane', 'next_at')


def downgrade() -> None:
    raise RuntimeError("forward only: restore a backup, or write a migration that goes on from here")
