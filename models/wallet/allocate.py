"""Addresses: derived ahead of need by the custody worker, taken here. An index is a row, never a guess."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from pydantic.dataclasses import dataclass
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import NodeUnavailable
from models.user.tables import users
from models.wallet.tables import system_addresses, system_wallets


class AddressRole(StrEnum):
    FREE = "free"
    HOUSE = "house"
    USER = "user"
    TRADE = "trade"


@dataclass(frozen=True, slots=True)
class SystemAddress:
    """One of our addresses. ``index`` is the last step of its derivation path."""

    id: int
    network_id: str
    address: str
    index: int
    role: AddressRole
    user_id: str | None = None
    trade_id: str | None = None


_COLUMNS = (
    system_addresses.c.id,
    system_addresses.c.network_id,
    system_addresses.c.address,
    system_addresses.c.index,
    system_addresses.c.role,
    system_addresses.c.user_id,
    system_addresses.c.trade_id,
)


async def register_wallet(conn: AsyncConnection, wallet_id: str) -> None:
    await conn.execute(insert(system_wallets).values(id=wallet_id).on_conflict_do_nothing())


async def count_free(conn: AsyncConnection, network_id: str) -> int:
    statement = select(func.count()).where(
        system_addresses.c.network_id == network_id, system_addresses.c.role == AddressRole.FREE
    )
    return int((await conn.execute(statement)).scalar_one())


async def first_derived_at(conn: AsyncConnection, network_id: str) -> datetime | None:
    """When our first address on this network came to be; None while there is none."""
    statement = select(func.min(system_addresses.c.created_at)).where(system_addresses.c.network_id == network_id)
    found: datetime | None = (await conn.execute(statement)).scalar_one()
    return found


async def next_index(conn: AsyncConnection, wallet_id: str, network_id: str) -> int:
    """The first index never derived on this network; 0 becomes the house's own address."""
    statement = select(func.coalesce(func.max(system_addresses.c.index) + 1, 0)).where(
        system_addresses.c.wallet_id == wallet_id, system_addresses.c.network_id == network_id
    )
    return int((await conn.execute(statement)).scalar_one())


async def add_address(conn: AsyncConnection, *, wallet_id: str, network_id: str, index: int, address: str) -> None:
    """Store a derived address. Harmless to repeat; index 0 is the house's.

    Networks of one family share addresses, so a new network's row belongs to whom its twin belongs; one that
    is just being taken is waited for.
    """
    a = system_addresses.c
    twins = select(a.role, a.user_id, a.trade_id).where(a.wallet_id == wallet_id, a.address == address)
    twin = (await conn.execute(twins.order_by(a.id).limit(1).with_for_update(read=True))).first()
    fresh = {"role": AddressRole.HOUSE if index == 0 else AddressRole.FREE}
    await conn.execute(
        insert(system_addresses)
        .values(
            wallet_id=wallet_id,
            network_id=network_id,
            index=index,
            address=address,
            **(fresh if twin is None else twin._mapping),
        )
        .on_conflict_do_nothing()
    )


async def house(conn: AsyncConnection, network_id: str) -> SystemAddress:
    statement = select(*_COLUMNS).where(
        system_addresses.c.network_id == network_id, system_addresses.c.role == AddressRole.HOUSE
    )
    row = (await conn.execute(statement)).first()
    if row is None:
        raise NodeUnavailable("the custody worker has not derived its addresses yet; try again shortly")
    return SystemAddress(**row._mapping)


async def by_id(conn: AsyncConnection, address_id: int) -> SystemAddress:
    row = (await conn.execute(select(*_COLUMNS).where(system_addresses.c.id == address_id))).one()
    return SystemAddress(**row._mapping)


async def of_user(conn: AsyncConnection, *, user_id: str, network_id: str) -> SystemAddress | None:
    statement = select(*_COLUMNS).where(
        system_addresses.c.network_id == network_id,
        system_addresses.c.user_id == user_id,
        system_addresses.c.role == AddressRole.USER,
    )
    row = (await conn.execute(statement)).first()
    return None if row is None else SystemAddress(**row._mapping)


async def take(
    conn: AsyncConnection, *, network_id: str, role: AddressRole, user_id: str, trade_id: str | None = None
) -> SystemAddress:
    """Give a free address its role, for ever; no address is used twice.

    Its twins on the family's other networks get the same owner: coins sent there by mistake are still theirs.
    The eldest twin's row stands for all of them in the lock, so that two networks never wait crosswise.
    :raises NodeUnavailable: none is free; the custody worker derives more within seconds.
    """
    a = system_addresses.c
    eldest, twin = system_addresses.alias("eldest"), system_addresses.alias("twin")
    first = select(func.min(twin.c.id)).where(twin.c.address == a.address).correlate(system_addresses)
    free = (
        select(a.address)
        .select_from(system_addresses)
        .join(eldest, eldest.c.id == first.scalar_subquery())
        .where(a.network_id == network_id, a.role == AddressRole.FREE, eldest.c.role == AddressRole.FREE)
        .order_by(a.index)
        .limit(1)
        .with_for_update(of=eldest, skip_locked=True)
    )
    address = (await conn.execute(free)).scalar_one_or_none()
    if address is None:
        raise NodeUnavailable("no address is free; the custody worker derives more; try again shortly")
    statement = (
        update(system_addresses)
        .where(a.address == address, a.role == AddressRole.FREE)
        .values(role=role, user_id=user_id, trade_id=trade_id)
        .returning(*_COLUMNS)
    )
    taken = [SystemAddress(**row._mapping) for row in await conn.execute(statement)]
    return next(row for row in taken if row.network_id == network_id)


async def for_user(conn: AsyncConnection, *, user_id: str, network_id: str) -> SystemAddress:
    """The user's own address on a network, taken at the first asking. One user's askings wait for each other.

    :raises NodeUnavailable: none is free; see :func:`take`.
    """
    await conn.execute(select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True))
    known = await of_user(conn, user_id=user_id, network_id=network_id)
    return known or await take(conn, network_id=network_id, role=AddressRole.USER, user_id=user_id)


async def addresses_after(conn: AsyncConnection, network_id: str, address_id: int) -> list[SystemAddress]:
    """Our addresses on a network that were derived after the one with this id, oldest first."""
    a = system_addresses.c
    statement = select(*_COLUMNS).where(a.network_id == network_id, a.id > address_id).order_by(a.id)
    return [SystemAddress(**row._mapping) for row in await conn.execute(statement)]


async def by_text(conn: AsyncConnection, network_id: str, addresses: Collection[str]) -> dict[str, SystemAddress]:
    a = system_addresses.c
    statement = select(*_COLUMNS).where(a.network_id == network_id, a.address.in_(addresses))
    return {row.address: SystemAddress(**row._mapping) for row in await conn.execute(statement)}
