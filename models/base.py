"""What every table shares: one metadata, one way to name constraints, one column type for base units."""

from decimal import Decimal
from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Numeric, func, select
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class BaseUnits(TypeDecorator[int]):
    """Whole base units of any size: ``numeric(78, 0)`` holds 2^256; Python sees ``int``."""

    impl = Numeric(78, 0)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


def timestamp(name: str, *, nullable: bool = False) -> Column[Any]:
    """A UTC time. Not null ones default to the transaction's own time, so rows written together agree."""
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=None if nullable else func.now())


async def ping(conn: AsyncConnection) -> None:
    """Ask the database for nothing but an answer."""
    await conn.execute(select(1))
