"""The chain as counterpart: put a fee on offer, hand in signed bytes, look. Holds no key."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from chains.protocol import Chain, Fee, Observation, Payment, Seen, Signed
from models.errors import HouseWalletLow, TransferImpossible
from models.instant_trade.advance import follow_transfer
from models.network.queries import Catalogue
from models.outbox import look, put
from models.transfer import queries, writes
from models.transfer.states import ENDED, TransferStatus
from models.transfer.types import Attempt, Intent, Prepared, Sighting, Transfer, TransferPurpose
from models.wallet import allocate

ATTEMPTS_MOST = 8
GAS_MARGIN = 2
"""A top-up brings twice the gas of the first offer, so that a replacement needs no second top-up."""

_FEE = TypeAdapter(Fee)


class ChainActivities:
    """:param gas_price_most: custody's ceiling, so that nothing is offered that will not be signed."""

    def __init__(
        self, engine: AsyncEngine, catalogue: Catalogue, nodes: Mapping[str, Chain], *, gas_price_most: int
    ) -> None:
        self._engine = engine
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._catalogue = catalogue
        self._nodes = nodes
        self._gas_price_most = gas_price_most

    @activity.defn(name="chain.prepare")
    async def prepare(self, key: str) -> Prepared:
        """Put a fee on offer for custody to sign: a first one, or a higher one for a transfer that is stuck.

        Names a gas top-up that must come first, where the sending address cannot pay. Rejects the transfer
        if the chain says, before anything is signed, that it cannot succeed.
        """
        async with self._reads.connect() as conn:
            transfer = await queries.transfer(conn, key)
            earlier = (await queries.attempts(conn, [key])).get(key, [])
        if transfer.offer is not None or transfer.status not in {TransferStatus.INTENDED, TransferStatus.BROADCAST}:
            return Prepared(transfer.status)
        node, payment = self._nodes[transfer.network_id], self._payment(transfer)
        coins = await node.balance(transfer.from_address)
        try:
            fee = await node.estimate_fee(_affordable(payment, coins))
        except TransferImpossible as impossible:
            return Prepared(transfer.status) if earlier else await self._reject(key, impossible.detail)
        if earlier:
            return await self._offer_more(node, transfer, earlier, fee)
        missing = fee.most + (payment.units if payment.contract is None else 0) - coins
        if missing > 0:
            return await self._top_up(transfer, missing + (GAS_MARGIN - 1) * fee.most)
        return await self._offer(node, transfer, fee)

    @activity.defn(name="chain.broadcast")
    async def broadcast(self, key: str) -> TransferStatus:
        """Hand in the newest signed bytes, the same ones however often, then look.

        :raises BroadcastUnknown: no clear answer; the retry sends the same bytes.
        """
        async with self._reads.connect() as conn:
            transfer = await queries.transfer(conn, key)
            attempts = (await queries.attempts(conn, [key])).get(key, [])
        if not attempts or transfer.status in ENDED:
            return transfer.status
        await self._hand_in(transfer, attempts[-1])
        seen = await self._sighting(transfer, attempts)
        return await self._record(transfer, seen, handed_in=attempts[-1])

    @activity.defn(name="chain.observe")
    async def observe(self, key: str) -> TransferStatus:
        """Read what the chain shows of a transfer, over all its attempts, and write it down."""
        async with self._reads.connect() as conn:
            transfer = await queries.transfer(conn, key)
            attempts = (await queries.attempts(conn, [key])).get(key, [])
        if not attempts or transfer.status in ENDED:
            return transfer.status
        return await self._record(transfer, await self._sighting(transfer, attempts))

    async def follow(self, network_id: str) -> None:
        """Look at every transfer in flight on a network; send again, in nonce order, what no node shows."""
        async with self._reads.connect() as conn:
            moving = await queries.in_flight(conn, network_id)
            attempts = await queries.attempts(conn, [transfer.key for transfer in moving])
        for transfer in moving:
            signed = attempts[transfer.key]
            seen = await self._sighting(transfer, signed)
            if seen is None:
                await self._hand_in(transfer, signed[-1])
            status = await self._record(transfer, seen, handed_in=signed[-1] if seen is None else None)
            if status is not transfer.status and (status in ENDED or transfer.status is TransferStatus.MINED):
                async with self._engine.begin() as conn:
                    await put(conn, look(f"transfer/{transfer.key}"))

    def _payment(self, transfer: Transfer) -> Payment:
        contract = self._catalogue.by_id(transfer.asset_id).contract
        return Payment(transfer.from_address, transfer.to_address, transfer.amount_units, contract)

    async def _offer(self, node: Chain, transfer: Transfer, fee: Fee) -> Prepared:
        chain_nonce = await node.nonce(transfer.from_address)
        async with self._engine.begin() as conn:
            locked = await queries.transfer(conn, transfer.key, lock=True)
            if locked.status is transfer.status:
                await writes.meet_chain_nonce(conn, locked, chain_nonce)
                await writes.offer_fee(conn, locked, _FEE.dump_python(fee, mode="json"))
        return Prepared(locked.status)

    async def _offer_more(self, node: Chain, transfer: Transfer, earlier: Sequence[Attempt], fee: Fee) -> Prepared:
        """A replacement, as long as attempts and the ceiling allow; then the present ones go on waiting."""
        higher = node.bump(_FEE.validate_python(earlier[-1].fee), fee)
        if len(earlier) >= ATTEMPTS_MOST or higher.max_fee_per_gas > self._gas_price_most:
            return Prepared(transfer.status)
        return await self._offer(node, transfer, higher)

    async def _top_up(self, transfer: Transfer, units: int) -> Prepared:
        native = self._catalogue.network(transfer.network_id).native_asset
        async with self._engine.begin() as conn:
            desk = await allocate.house(conn, transfer.network_id)
            if transfer.from_address_id == desk.id:
                raise HouseWalletLow(f"{desk.address} on {transfer.network_id} lacks {units} units of {native}")
            key = f"{transfer.key}/gas"
            intent = Intent(
                key=key,
                purpose=TransferPurpose.GAS,
                network_id=transfer.network_id,
                asset_id=native,
                from_address_id=desk.id,
                to_address=transfer.from_address,
                amount_units=units,
                trade_id=transfer.trade_id,
                parent_key=transfer.key,
            )
            await writes.intend(conn, intent)
        return Prepared(transfer.status, gas_key=key)

    async def _reject(self, key: str, reason: str) -> Prepared:
        async with self._engine.begin() as conn:
            locked = await queries.transfer(conn, key, lock=True)
            if locked.status is TransferStatus.INTENDED:
                await writes.reject(conn, locked, reason[:200])
                return Prepared(TransferStatus.REJECTED)
        return Prepared(locked.status)

    async def _hand_in(self, transfer: Transfer, attempt: Attempt) -> None:
        try:
            await self._nodes[transfer.network_id].broadcast(Signed(attempt.raw, attempt.txid))
        except TransferImpossible as impossible:
            activity.logger.warning("transfer.not_taken", extra={"key": transfer.key, "why": impossible.detail})

    async def _sighting(self, transfer: Transfer, attempts: Sequence[Attempt]) -> Sighting | None:
        """What the chain shows; None if no node shows any attempt. At most one attempt can be in a block."""
        node = self._nodes[transfer.network_id]
        waiting = False
        for attempt in reversed(attempts):
            seen = await node.observe(attempt.txid)
            if seen.seen in {Seen.MINED, Seen.REVERTED}:
                return self._mined(transfer, attempt, seen)
            waiting = waiting or seen.seen is Seen.MEMPOOL
        return Sighting(TransferStatus.BROADCAST) if waiting else None

    def _mined(self, transfer: Transfer, attempt: Attempt, seen: Observation) -> Sighting:
        """The outcome first, the depth second: a reverted transaction never counts as paid, however deep."""
        is_final = seen.confirmations >= self._catalogue.network(transfer.network_id).confirmations
        status = TransferStatus.MINED
        if is_final:
            status = TransferStatus.FAILED if seen.seen is Seen.REVERTED else TransferStatus.FINAL
        return Sighting(status, attempt.txid, seen.block_height, seen.block_hash, seen.confirmations, seen.fee_units)

    async def _record(
        self, transfer: Transfer, seen: Sighting | None, *, handed_in: Attempt | None = None
    ) -> TransferStatus:
        """Write down, in one transaction, that bytes were handed in and what the chain shows."""
        native = self._catalogue.network(transfer.network_id).native_asset
        known_by = (handed_in or seen or Sighting(TransferStatus.BROADCAST)).txid
        async with self._engine.begin() as conn:
            locked = await queries.transfer(conn, transfer.key, lock=True)
            if known_by is not None and locked.status not in ENDED:
                locked = await writes.mark_broadcast(conn, locked, known_by)
            if locked.status in ENDED or locked.status is TransferStatus.SIGNED:
                return locked.status
            seen = seen or Sighting(TransferStatus.BROADCAST)
            moved = await writes.record_sighting(conn, locked, seen, native_asset=native)
            if moved and locked.trade_id and locked.purpose is TransferPurpose.CUSTODY:
                await follow_transfer(conn, locked.trade_id, now=datetime.now(UTC))
        return seen.status


def _affordable(payment: Payment, coins: int) -> Payment:
    """For the estimate alone: a native transfer of what is there; what is missing is topped up."""
    return payment if payment.contract is not None else replace(payment, units=min(payment.units, coins))
