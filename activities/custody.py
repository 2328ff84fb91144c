"""Signing. Runs only in the custody worker, signs only what the books ask for, and tells nobody but the database."""

from collections.abc import Mapping

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from temporalio import activity

from chains.protocol import Fee, Payment, Signer
from models.assets import Family
from models.network.queries import Catalogue
from models.transfer import policy, queries, writes
from models.transfer.states import ENDED
from models.transfer.types import Transfer
from models.wallet import allocate

_FEE = TypeAdapter(Fee)


class CustodyActivities:
    """:param gas_price_most: base units of the native coin per unit of gas; above it nothing is signed."""

    def __init__(
        self,
        engine: AsyncEngine,
        catalogue: Catalogue,
        signers: Mapping[Family, Signer],
        *,
        wallet_id: str,
        gas_price_most: int,
    ) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._signers = signers
        self._wallet_id = wallet_id
        self._gas_price_most = gas_price_most

    @activity.defn(name="custody.sign")
    async def sign(self, key: str) -> None:
        """Sign the transfer of this key at the fee on offer, and store the bytes, in one transaction.

        Nothing on offer: it was signed before, or has ended; nothing happens. A replacement keeps its nonce.
        :raises IntentMismatch: the books do not ask for this transfer.
        """
        async with self._engine.begin() as conn:
            transfer = await queries.transfer(conn, key, lock=True)
            if transfer.offer is None or transfer.status in ENDED:
                return
            await self._sign(conn, transfer, _FEE.validate_python(transfer.offer))

    async def _sign(self, conn: AsyncConnection, transfer: Transfer, fee: Fee) -> None:
        await policy.check(
            conn, transfer, fee_most=fee.most, gas_limit=fee.gas_limit, gas_price_most=self._gas_price_most
        )
        network = self._catalogue.network(transfer.network_id)
        signer = self._signers[network.family]
        payment = Payment(
            transfer.from_address,
            transfer.to_address,
            transfer.amount_units,
            self._catalogue.by_id(transfer.asset_id).contract,
        )
        nonce = await writes.reserve_nonce(conn, transfer) if transfer.nonce is None else transfer.nonce
        unsigned = signer.build(payment, nonce=nonce, fee=fee, chain_id=network.chain_id)
        signed = signer.sign(unsigned, index=transfer.from_index)
        earlier = (await queries.attempts(conn, [transfer.key])).get(transfer.key, [])
        await writes.store_signed(
            conn, transfer, attempt=len(earlier) + 1, nonce=nonce, txid=signed.txid, raw=signed.raw
        )

    async def fill_address_pool(self, size: int) -> None:
        """Derive until each network has ``size`` free addresses; the first of all is the house's own."""
        async with self._engine.begin() as conn:
            await allocate.register_wallet(conn, self._wallet_id)
        for network in self._catalogue.networks.values():
            async with self._engine.begin() as conn:
                missing = size - await allocate.count_free(conn, network.id)
                first = await allocate.next_index(conn, self._wallet_id, network.id)
                for index in range(first, first + max(0, missing)):
                    address = self._signers[network.family].address(index)
                    await allocate.add_address(
                        conn, wallet_id=self._wallet_id, network_id=network.id, index=index, address=address
                    )
