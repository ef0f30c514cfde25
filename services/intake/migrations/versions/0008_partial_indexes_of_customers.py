"""partial indexes of customers"""

from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ('customer_id', 'customer_email', 'customer_phone'):
        for table, rest in (('case_file', ', number'), ('contact', '')):
            op.execute(f'DROP INDEX {table}_{column}')
            op.execute(f'CREATE INDEX {table}_{column} ON {table} ({column}{rest}) WHERE {column} IS NOT NULL')


def downgrade() -> None:
    raise RuntimeError("forward only: restore a backup, or write a migration that goes on from here")
