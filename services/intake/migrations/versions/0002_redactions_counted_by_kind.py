"""redactions counted by kind"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column('contact', 'redactions',
               existing_type=sa.INTEGER(),
               type_=postgresql.JSONB(astext_type=sa.Text()),
               existing_nullable=False,
               postgresql_using="CASE WHEN redactions = 0 THEN '{}'::jsonb"
               " ELSE jsonb_build_object('card', redactions) END")


def downgrade() -> None:
    raise RuntimeError("forward only: restore a backup, or write a migration that goes on from here")
