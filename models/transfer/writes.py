"""Transfers: intent, reservation of a nonce, stored bytes, and what the chain made of them."""

from dataclasses import asdict, replace

from pydantic import JsonValue
from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.errors import Broken, ForeignNonce
from models.ledger.chart import Purpose, custody, house
from models.ledger.post import post
from models.ledger.types import Kind, move
from models.transfer.states import TransferStatus
from models.transfer.tables import transfer_attempts, transfer_transactions
from models.transfer.types import Intent, Sighting, Transfer
from models.wallet.tables import system_addresses

_T = transfer_transactions


async def intend(conn: AsyncConnection, intent: Intent) -> None:
    """Write the intent; the same key again is the same intent."""
    await conn.execute(upsert(_T).values(asdict(intent)).on_conflict_do_nothing(index_elements=["key"]))


async def offer_fee(conn: AsyncConnection, transfer: Transfer, fee: dict[str, JsonValue]) -> None:
    """Set the fee that custody may sign next."""
    await conn.execute(update(_T).where(_T.c.key == transfer.key).values(offer=fee, updated_at=func.now()))


async def reject(conn: AsyncConnection, transfer: Transfer, reason: str) -> None:
    """End a transfer that was never signed. ``transfer`` must be locked."""
    await _step(conn, transfer, TransferStatus.REJECTED, reason=reason)


async def reserve_nonce(conn: AsyncConnection, transfer: Transfer) -> int:
    """The next nonce of the sending address; the address row stays locked until the transaction ends.

    A crash before the commit gives the nonce back; after it, the signed bytes are stored with it.
    """
    a = system_addresses.c
    statement = (
        update(system_addresses)
        .where(a.id == transfer.from_address_id)
        .values(next_nonce=func.coalesce(a.next_nonce, 0) + 1)
        .returning(a.next_nonce - 1)
    )
    return int((await conn.execute(statement)).scalar_one())


async def meet_chain_nonce(conn: AsyncConnection, transfer: Transfer, chain_nonce: int) -> None:
    """Adopt the chain's nonce for an address we never sent from, else compare.

    :raises ForeignNonce: the chain counts more transactions than we ever signed.
    """
    a = system_addresses.c
    adopt = update(system_addresses).where(a.id == transfer.from_address_id, a.next_nonce.is_(None))
    if (await conn.execute(adopt.values(next_nonce=chain_nonce))).rowcount:
        return
    statement = select(a.next_nonce).where(a.id == transfer.from_address_id)
    known = int((await conn.execute(statement)).scalar_one())
    if chain_nonce > known:
        raise ForeignNonce(
            f"{transfer.network_id} address {transfer.from_address}: chain {chain_nonce}, ours {known}"
        )


async def store_signed(
    conn: AsyncConnection, transfer: Transfer, *, attempt: int, nonce: int, txid: str, raw: str
) -> None:
    """Keep the exact bytes, before anyone outside sees them. ``transfer`` must be locked."""
    await conn.execute(
        insert(transfer_attempts).values(key=transfer.key, attempt=attempt, txid=txid, raw=raw, fee=transfer.offer)
    )
    after = TransferStatus.SIGNED if transfer.status is TransferStatus.INTENDED else transfer.status
    await _step(conn, transfer, after, nonce=nonce, offer=None)


async def mark_broadcast(conn: AsyncConnection, transfer: Transfer, txid: str) -> Transfer:
    """The bytes were handed to the network (at least once). ``transfer`` must be locked; as it is afterwards."""
    await conn.execute(
        update(transfer_attempts)
        .where(transfer_attempts.c.txid == txid, transfer_attempts.c.broadcast_at.is_(None))
        .values(broadcast_at=func.now())
    )
    if transfer.status is not TransferStatus.SIGNED:
        return transfer
    await _step(conn, transfer, TransferStatus.BROADCAST)
    return replace(transfer, status=TransferStatus.BROADCAST, version=transfer.version + 1)


async def record_sighting(conn: AsyncConnection, transfer: Transfer, seen: Sighting, *, native_asset: str) -> bool:
    """Write what the chain shows; with the end comes the posting of the network fee. True if the status moved.

    ``transfer`` must be locked. The fee, in base units of the native coin, is the house's to bear.
    """
    same_place = (transfer.txid, transfer.block_hash, transfer.confirmations) == (
        seen.txid,
        seen.block_hash,
        seen.confirmations,
    )
    if seen.status is transfer.status and same_place:
        return False
    await _step(
        conn,
        transfer,
        seen.status,
        txid=seen.txid,
        block_height=seen.block_height,
        block_hash=seen.block_hash,
        confirmations=seen.confirmations,
        fee_units=seen.fee_units,
    )
    if seen.status in {TransferStatus.FINAL, TransferStatus.FAILED} and seen.fee_units:
        fee = move(
            f"{transfer.key}/network-fee",
            Kind.NETWORK_FEE,
            transfer.trade_id or transfer.key,
            house(Purpose.NETWORK_FEES, native_asset),
            custody(transfer.network_id, native_asset),
            seen.fee_units,
        )
        await post(conn, fee)
    return seen.status is not transfer.status


async def _step(conn: AsyncConnection, transfer: Transfer, after: TransferStatus, **columns: object) -> None:
    if after is not transfer.status:
        transitions.check("transfer", transfer.status, after)
    statement = (
        update(_T)
        .where(_T.c.key == transfer.key, _T.c.status == transfer.status, _T.c.version == transfer.version)
        .values(status=after, version=transfer.version + 1, updated_at=func.now(), **columns)
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"transfer {transfer.key} changed while its row was locked")
