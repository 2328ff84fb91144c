"""Watch one network: find what comes in, follow what goes out, notice what a reorg takes back."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio import activity

from activities.chain import ChainActivities
from chains.protocol import Block, Chain, Incoming
from models.deposit import queries, writes
from models.deposit.types import BlockMark, Found
from models.errors import Unknown
from models.network.queries import Catalogue
from models.transfer import queries as transfers
from models.wallet import allocate
from models.wallet.allocate import SystemAddress

BLOCKS_PER_TURN = 200
CLOCK_SKEW = timedelta(minutes=2)
"""How far a block's time may differ from ours."""


class DepositActivities:
    """:param every_seconds: the pause between two looks. :param turn: how long one activity run lasts."""

    def __init__(
        self,
        engine: AsyncEngine,
        catalogue: Catalogue,
        nodes: Mapping[str, Chain],
        chain: ChainActivities,
        *,
        every_seconds: float,
        turn: timedelta = timedelta(minutes=5),
    ) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._nodes = nodes
        self._chain = chain
        self._every_seconds = every_seconds
        self._turn = turn
        self._known: dict[str, dict[str, int]] = {}

    @activity.defn(name="deposit.watch")
    async def watch(self, network_id: str) -> None:
        """Look again and again for one turn. All progress is rows, so a crash between any two loses none."""
        until = datetime.now(UTC) + self._turn
        while datetime.now(UTC) < until and not activity.is_worker_shutdown():
            try:
                await self.look(network_id)
            except Unknown as unknown:
                activity.logger.warning("deposit.look_failed", extra={"network": network_id, "why": unknown.detail})
            await asyncio.sleep(self._every_seconds)

    async def look(self, network_id: str) -> None:
        """One look: reorgs, new blocks, final deposits, transfers in flight.

        :raises NodeUnavailable: no endpoint answers; nothing was changed halfway.
        """
        last = await self._read_blocks(network_id)
        if last is not None:
            await self._book_final(network_id, last)
        await self._chain.follow(network_id)

    async def _read_blocks(self, network_id: str) -> int | None:
        """Read on from the cursor; the height up to which the chain is read, None while that is uncertain."""
        node = self._nodes[network_id]
        head = await node.head()
        cursor = await self._cursor(node, network_id)
        if cursor is None:
            cursor = await self._beginning(node, network_id, head)
        first, last = cursor.height + 1, min(head.height, cursor.height + BLOCKS_PER_TURN)
        if last < first:
            return cursor.height
        addresses = await self._addresses(network_id)
        contracts = [a.contract for a in self._catalogue.assets.values() if a.network == network_id and a.contract]
        incoming = await node.scan(first, last, addresses=addresses, contracts=contracts)
        blocks = [await node.block(height) for height in range(first, last + 1)]
        if not _is_one_chain(cursor, blocks, incoming):
            return None
        marks = [BlockMark(block.height, block.hash) for block in blocks if block is not None]
        found = await self._found(network_id, incoming)
        async with self._engine.begin() as conn:
            await writes.record(conn, network_id, marks, found)
        return last

    async def _cursor(self, node: Chain, network_id: str) -> BlockMark | None:
        """The newest block that was read and is still on the best chain; what a reorg dropped is rewound."""
        async with self._engine.connect() as conn:
            marks = await queries.marks(conn, network_id)
        for mark in marks:
            block = await node.block(mark.height)
            if block is not None and block.hash == mark.hash:
                if mark is not marks[0]:
                    await self._rewind(network_id, mark.height)
                return mark
        if marks:
            await self._rewind(network_id, marks[-1].height - 1)
            return BlockMark(marks[-1].height - 1, "")
        return None

    async def _beginning(self, node: Chain, network_id: str, head: Block) -> BlockMark:
        """Where to begin on a network never read: the last block before our first address there existed.

        Found by halving, so a watch that starts late still misses no deposit.
        """
        async with self._engine.connect() as conn:
            first = await allocate.first_derived_at(conn, network_id)
        since = (first - CLOCK_SKEW).timestamp() if first is not None else head.time
        below, above = -1, head.height
        while above - below > 1:
            middle = (below + above) // 2
            block = await node.block(middle)
            if block is not None and block.time < since:
                below = middle
            else:
                above = middle
        return BlockMark(below, "")

    async def _rewind(self, network_id: str, height: int) -> None:
        async with self._engine.begin() as conn:
            orphaned = await writes.rewind(conn, network_id, height)
        activity.logger.warning(
            "deposit.reorg", extra={"network": network_id, "height": height, "orphaned": orphaned}
        )

    async def _addresses(self, network_id: str) -> dict[str, int]:
        """Our addresses by text; only new ones are read."""
        known = self._known.setdefault(network_id, {})
        async with self._engine.connect() as conn:
            new = await allocate.addresses_after(conn, network_id, max(known.values(), default=0))
        known.update({address.address: address.id for address in new})
        return known

    async def _found(self, network_id: str, incoming: list[Incoming]) -> list[Found]:
        """What came from outside: our own transfers between our own addresses are none of it."""
        async with self._engine.connect() as conn:
            own = await transfers.ours(conn, {transfer.txid for transfer in incoming})
            places = await allocate.by_text(conn, network_id, {transfer.to_address for transfer in incoming})
        return [
            found
            for transfer in incoming
            if transfer.txid not in own
            and (found := self._deposit(network_id, transfer, places[transfer.to_address])) is not None
        ]

    def _deposit(self, network_id: str, transfer: Incoming, address: SystemAddress) -> Found | None:
        asset = self._catalogue.by_contract(network_id, transfer.contract)
        if asset is None or transfer.units == 0:
            return None
        return Found(
            txid=transfer.txid,
            log_index=transfer.index,
            asset_id=asset.id,
            address_id=address.id,
            trade_id=address.trade_id,
            from_address=transfer.from_address,
            amount_units=transfer.units,
            block_height=transfer.block.height,
            block_hash=transfer.block.hash,
            block_time=datetime.fromtimestamp(transfer.block.time, UTC),
        )

    async def _book_final(self, network_id: str, last: int) -> None:
        """Book deposits deep enough below ``last``, each in its own transaction."""
        height = last - self._catalogue.network(network_id).confirmations + 1
        async with self._engine.connect() as conn:
            ids = await writes.final_ids(conn, network_id, height=height)
        for deposit_id in ids:
            async with self._engine.begin() as conn:
                await writes.book(conn, deposit_id)


def _is_one_chain(cursor: BlockMark, blocks: list[Block | None], incoming: list[Incoming]) -> bool:
    """Whether all that was read hangs together; a reorg in the middle of the reading shows here."""
    hashes = {cursor.height: cursor.hash} if cursor.hash else {}
    for block in blocks:
        if block is None or hashes.get(block.height - 1, block.parent_hash) != block.parent_hash:
            return False
        hashes[block.height] = block.hash
    return all(hashes[transfer.block.height] == transfer.block.hash for transfer in incoming)
