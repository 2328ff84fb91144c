"""which PIX providers answer; payouts are named by the provider once, and may wait for the morning"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


KEEP_THE_PROVIDERS_NAME = """
CREATE TRIGGER payouts_keep_the_providers_name BEFORE UPDATE OF provider_id ON payouts
    FOR EACH ROW WHEN (OLD.provider_id IS NOT NULL AND NEW.provider_id IS DISTINCT FROM OLD.provider_id)
    EXECUTE FUNCTION refuse_other_order()
"""


def upgrade() -> None:
    op.create_table(
        "provider_health",
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_provider_health")),
    )
    op.execute("REVOKE DELETE ON provider_health FROM liquida_runtime")
    op.add_column("payouts", sa.Column("not_before", sa.DateTime(timezone=True)))
    op.execute(KEEP_THE_PROVIDERS_NAME)
