"""what is owed"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index('case_facts_open', table_name='case_facts', postgresql_where='(open_clocks > 0)')
    op.alter_column('case_facts', 'open_clocks', new_column_name='owed')
    # Not known of cases without an open clock: the next re-plan looks at them once, and writes it.
    op.execute("UPDATE case_facts SET owed = 1 WHERE owed = 0 AND opening IS NOT NULL")
    op.create_index('case_facts_owed', 'case_facts', ['case_id'], unique=False, postgresql_where=sa.text('owed > 0'))


def downgrade() -> None:
    raise RuntimeError("forward only: restore a backup, or write a migration that goes on from here")
