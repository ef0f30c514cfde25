"""replicas ready for a version"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('replica',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ready', postgresql.ARRAY(sa.Integer()), nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.add_column('ruleset', sa.Column('wanted_at', sa.DateTime(timezone=True), nullable=True))
    op.create_index('ruleset_wanted', 'ruleset', ['wanted_at'], unique=False)


def downgrade() -> None:
    raise RuntimeError("forward only: restore a backup, or write a migration that goes on from here")
