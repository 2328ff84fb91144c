"""The marketplace of ``p2p_world.py`` with the bank of ``buy_world.py`` beside it: trades that a PIX charge pays for."""

from sqlalchemy import text

from models.p2p_order.types import Settlement
from models.receipt.types import Payer
from tests.models.buy_world import BuyWorld
from tests.models.p2p_world import PAID, P2PWorld


class Market(P2PWorld):
    """With the bank of ``buy_world.py`` beside it, and its clock."""

    async def begin(self) -> "Market":
        await super().begin()
        self.desk = BuyWorld(self.engine)
        return self

    async def open_charge(self, **more: object) -> str:
        """A trade whose charge can be paid."""
        trade_id = await self.open(Settlement.CHARGE, **more)
        await self.hear(trade_id)
        return trade_id

    async def hear(self, trade_id: str, *, is_known: bool = True) -> None:
        """The charge is looked at, and then the trade moved on. ``is_known`` False: the bank does not answer."""
        self.desk.now = self.now
        await self.desk.look(trade_id, is_known=is_known)
        await self.look(trade_id)

    async def gets(
        self, trade_id: str, centavos: int = PAID, *, payer: Payer = Payer.SAME, blocked: bool = False
    ) -> str:
        """A PIX comes in, and is heard of; its endToEndId."""
        self.desk.now = self.now
        pix = self.desk.pay(trade_id, centavos, payer=payer, blocked=blocked)
        await self.hear(trade_id)
        return pix

    async def receipts(self, trade_id: str) -> list[tuple[str, str | None]]:
        statement = text("SELECT status, reason FROM pix_receipts WHERE charge_key = :key ORDER BY received_at, id")
        async with self.engine.connect() as conn:
            return [(row.status, row.reason) for row in await conn.execute(statement, {"key": trade_id})]
