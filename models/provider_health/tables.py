"""One row per PIX provider: whether it answered when it was last asked, and since when it has not."""

from sqlalchemy import Column, String, Table

from models.base import metadata, timestamp

provider_health = Table(
    "provider_health",
    metadata,
    Column("provider", String(32), primary_key=True),
    timestamp("failing_since", nullable=True),
    timestamp("checked_at"),
)
