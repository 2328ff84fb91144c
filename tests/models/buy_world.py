"""The small world of ``world.py``, for purchases: a bank that makes charges, takes payments and sends them back.

The rows are written by the same functions, in the same order and transactions, as ``activities/charge.py`` and
``activities/pix_refund.py`` write them.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge import queries as charges
from models.charge import writes as charge_writes
from models.charge.states import ChargeStatus
from models.charge.types import Charge
from models.instant_trade import buy_writes
from models.instant_trade.types import Terms
from models.ledger.chart import Purpose, held, house
from models.pix_refund import queries as refunds
from models.pix_refund import writes as refund_writes
from models.pix_refund.states import KNOWN, RefundStatus
from models.pix_refund.types import PixRefund, RefundNews
from models.quote import rules
from models.quote import writes as quotes
from models.quote.types import Delivery, Funding, LockedSide, Quote, Rates, Side
from models.receipt import queries as receipts
from models.receipt import settle
from models.receipt import writes as receipt_writes
from models.receipt.states import ReceiptStatus
from models.receipt.types import Payer, Receipt, Seen
from tests.models.world import ETH, FEE_BPS, OUTSIDE, PRICE, SPREAD_BPS, TERMS, WAITS, Bank, World

PAY = 15_000
RATES = Rates(SPREAD_BPS, FEE_BPS, 1_000, 10_000_000, 500)
BOUGHT = rules.buy_for(PAY, PRICE, ETH, RATES)
"""What R$ 150.00 buy, and its parts."""
WINDOW = TERMS.payment_window_seconds + TERMS.payment_leniency_seconds

NEVER_WAITS = datetime.max.replace(tzinfo=UTC)
"""For a payer that the bank may still name: the real clock is none of the world's."""


@dataclass
class Payment:
    """One PIX as the bank shows it."""

    seen: Seen
    charge_key: str


@dataclass
class BuyBank(Bank):
    """``blocked``: what is in the account and not ours to spend."""

    blocked_centavos: int = 0

    async def balance(self) -> int:
        return await super().balance() - self.blocked_centavos


@dataclass
class BuyWorld(World):
    bank: BuyBank = field(default_factory=BuyBank)
    payments: dict[str, Payment] = field(default_factory=dict)
    bank_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def begin(self) -> Self:
        """Ana, and a house with coins to sell."""
        await super().begin()
        await self.fund_house()
        return self

    # What people do.

    async def quote_to_buy(self, *, to: str | None = OUTSIDE) -> Quote:
        """R$ 150.00 worth of ETH; ``to`` None: to Ana's platform address."""
        quote = Quote(
            id=f"{next(self.bank_numbers):032x}",
            user_id=self.user_id,
            operation=Side.BUY,
            asset_id=ETH.id,
            network_id="ethereum",
            funding=Funding.PIX,
            locked_side=LockedSide.PAY,
            amount_units=BOUGHT.amount_units,
            price=PRICE,
            gross_centavos=BOUGHT.gross_centavos,
            spread_centavos=BOUGHT.spread_centavos,
            network_fee_centavos=BOUGHT.network_fee_centavos,
            total_centavos=BOUGHT.total_centavos,
            return_min_centavos=500,
            refund_address=None,
            created_at=self.now,
            expires_at=self.now + timedelta(seconds=30),
            delivery=Delivery.CUSTODY if to is None else Delivery.ADDRESS,
            delivery_address=to,
        )
        async with self.engine.begin() as conn:
            await quotes.add(conn, quote)
        return quote

    async def order(self, *, to: str | None = OUTSIDE, terms: Terms = TERMS) -> str:
        """A purchase whose charge the bank has not heard of."""
        quote = await self.quote_to_buy(to=to)
        trade_id = f"{next(self.bank_numbers):032x}"
        async with self.engine.begin() as conn:
            used = await quotes.use(conn, quote_id=quote.id, user_id=quote.user_id, now=self.now)
            await buy_writes.accept(conn, used, trade_id=trade_id, terms=terms, waits=WAITS, now=self.now)
        return trade_id

    async def buy(self, *, to: str | None = OUTSIDE) -> str:
        """A purchase that can be paid."""
        trade_id = await self.order(to=to)
        await self.look(trade_id)
        return trade_id

    async def bought(self, *, to: str | None = OUTSIDE) -> str:
        """A purchase that is paid, and whose delivery is ordered."""
        trade_id = await self.buy(to=to)
        await self.paid(trade_id)
        return trade_id

    # What the bank does.

    def pay(
        self,
        trade_id: str,
        centavos: int = PAY,
        *,
        payer: Payer = Payer.SAME,
        blocked: bool = False,
        at: datetime | None = None,
    ) -> str:
        """A PIX on the trade's charge, as nobody but the bank knows yet; its endToEndId. ``at``: its stamp."""
        pix = f"E{next(self.bank_numbers):031d}"
        self.payments[pix] = Payment(Seen(pix, centavos, at or self.now, payer, is_blocked=blocked), trade_id)
        self.bank.write(trade_id, centavos)
        self.bank.blocked_centavos += centavos if blocked else 0
        return pix

    async def paid(self, trade_id: str, centavos: int = PAY, *, payer: Payer = Payer.SAME) -> str:
        """A PIX, of which the charge and the trade have learned."""
        pix = self.pay(trade_id, centavos, payer=payer)
        await self.hears(trade_id)
        return pix

    def release(self, pix: str) -> None:
        """The bank lifts its block."""
        payment = self.payments[pix]
        self.bank.blocked_centavos -= payment.seen.amount_centavos
        self._show(pix, is_blocked=False)

    def take_back(self, pix: str) -> None:
        """The bank returns the payment to its payer, without us."""
        payment = self.payments[pix]
        self.bank.write(payment.charge_key, -payment.seen.amount_centavos)
        if payment.seen.is_blocked:
            self.bank.blocked_centavos -= payment.seen.amount_centavos
        self._show(pix, is_blocked=False, taken_back_centavos=payment.seen.amount_centavos)

    def _show(self, pix: str, *, is_blocked: bool, taken_back_centavos: int = 0) -> None:
        payment = self.payments[pix]
        seen = payment.seen
        payment.seen = Seen(
            pix,
            seen.amount_centavos,
            seen.received_at,
            seen.payer,
            is_blocked=is_blocked,
            taken_back_centavos=taken_back_centavos,
        )

    async def look(self, trade_id: str, *, is_known: bool = True) -> None:
        """As ``activities/charge.py: _prepare`` and ``_learn``: make it, or learn what was paid, and settle that.

        :param is_known: False: the bank does not answer.
        """
        async with self.engine.begin() as conn:
            charge = await self._locked(conn, trade_id)
            if charge.status is ChargeStatus.REFUSED:
                return
            if charge.status is ChargeStatus.CREATED:
                window = int((charge.expires_at - self.now).total_seconds())
                if window < 1:
                    await charge_writes.refuse(conn, charge, "too_late")
                    return
                await charge_writes.mark_submitted(conn, charge, window_seconds=window)
        if not is_known:
            return
        async with self.engine.begin() as conn:
            charge = await self._locked(conn, trade_id)
            if charge.status is ChargeStatus.SUBMITTED:
                charge = await charge_writes.activate(conn, charge, provider_id=None, br_code=f"code {trade_id}")
            for payment in list(self.payments.values()):
                if payment.charge_key == trade_id:
                    await receipt_writes.see(conn, charge, payment.seen)
            await settle.settle(conn, charge, known_by=NEVER_WAITS, now=self.now)
            await charge_writes.mark_asked(conn, charge, self.now)

    async def hears(self, trade_id: str) -> None:
        """The charge is looked at, and then its trade moved on."""
        await self.look(trade_id)
        await self.advance(trade_id)

    async def refuse_charge(self, trade_id: str) -> None:
        async with self.engine.begin() as conn:
            charge = await self._locked(conn, trade_id)
            if charge.status is ChargeStatus.CREATED:
                charge = await charge_writes.mark_submitted(conn, charge, window_seconds=60)
            await charge_writes.refuse(conn, charge, "no")

    async def end_refunds(self, trade_id: str, status: RefundStatus = RefundStatus.REFUNDED) -> int:
        """The bank's word on every devolução of the trade that has not ended; how many there were."""
        going = [refund for refund in await self.refunds(trade_id) if refund.status not in KNOWN]
        for refund in going:
            await self.hear_refund(refund.key, status)
        return len(going)

    async def hear_refund(self, key: str, status: RefundStatus) -> None:
        """As ``activities/pix_refund.py: _begin`` and ``_learn``; what is refunded leaves the bank."""
        async with self.engine.begin() as conn:
            refund = await self._refund(conn, key)
            if refund.status is RefundStatus.CREATED:
                await refund_writes.mark_submitting(conn, refund)
        async with self.engine.begin() as conn:
            receipt = await receipts.receipt(conn, refund.receipt_id)
            charge = await self._locked(conn, receipt.charge_key)
            refund = await self._refund(conn, key)
            await refund_writes.record(conn, refund, RefundNews(status))
            if status in KNOWN:
                receipt = await receipts.receipt(conn, refund.receipt_id, lock=True)
                is_done = status is RefundStatus.REFUNDED
                await receipt_writes.end_refund(conn, charge, receipt, refunded=is_done)
        if status is RefundStatus.REFUNDED:
            self.bank.write(key, -refund.amount_centavos)

    async def _refund(self, conn: AsyncConnection, key: str) -> PixRefund:
        found = await refunds.refund(conn, key, lock=True)
        assert found is not None
        return found

    async def _locked(self, conn: AsyncConnection, key: str) -> Charge:
        charge = await charges.charge(conn, key)
        assert charge is not None
        await settle.lock_trade(conn, charge)
        charge = await charges.charge(conn, key, lock=True)
        assert charge is not None
        return charge

    # What can be read.

    async def receipts(self, trade_id: str) -> list[Receipt]:
        async with self.engine.connect() as conn:
            return await receipts.of_charge(conn, trade_id)

    async def receipt_states(self, trade_id: str) -> list[str]:
        """Each with its reason, in order."""
        found = [f"{r.status}" + (f": {r.reason}" if r.reason else "") for r in await self.receipts(trade_id)]
        return sorted(found)

    async def refunds(self, trade_id: str) -> list[PixRefund]:
        """Every devolução of the trade's receipts, oldest first."""
        statement = (
            "SELECT array_agg(f.key ORDER BY f.created_at, f.key) FROM pix_refunds AS f"
            " JOIN pix_receipts AS r ON r.id = f.receipt_id WHERE r.charge_key = :key"
        )
        keys = await self.scalar(statement, key=trade_id) or []
        assert isinstance(keys, list)
        async with self.engine.connect() as conn:
            found = [await refunds.refund(conn, key) for key in keys]
        return [refund for refund in found if refund is not None]

    def may_say(self, word: RefundStatus, refund: PixRefund) -> bool:
        """No bank sends back what it has taken back, or holds under its block."""
        seen = self.payments[refund.end_to_end_id].seen
        return word is not RefundStatus.REFUNDED or not (seen.taken_back_centavos or seen.is_blocked)

    async def is_going(self, pix: str) -> bool:
        statement = "SELECT status IN ('refunding', 'refunded') FROM pix_receipts WHERE end_to_end_id = :pix"
        return bool(await self.scalar(statement, pix=pix))

    async def is_all_seen(self) -> bool:
        """Whether every payment's row says what the bank shows of it."""
        for pix, payment in self.payments.items():
            status = await self.scalar("SELECT status FROM pix_receipts WHERE end_to_end_id = :pix", pix=pix)
            is_taken = status == ReceiptStatus.TAKEN_BACK
            is_blocked = status == ReceiptStatus.BLOCKED
            is_same = (payment.seen.is_blocked, payment.seen.taken_back_centavos > 0) == (is_blocked, is_taken)
            if status is None or not is_same:
                return False
        return True

    async def reais(self) -> "Reais":
        """Where the reais and the coins of purchases are. All laws must hold, and the world must agree."""
        assert {} == await self.broken_laws()
        assert [] == await self.differences()
        return Reais(
            bank=-await self.house(Purpose.PIX_CLEARING, "BRL"),
            blocked=-await self.house(Purpose.PIX_BLOCKED, "BRL"),
            pending=await self.house(Purpose.PIX_PENDING, "BRL"),
            held=await self.balance(held(self.user_id, "BRL")),
            available=await self.available("BRL"),
            desk=await self.balance(house(Purpose.DESK, "BRL")),
            fees=await self.house(Purpose.FEES, "BRL"),
            network_fees=await self.house(Purpose.NETWORK_FEES, "BRL"),
            coins_held=await self.held(),
            coins=await self.available(),
        )


@dataclass(frozen=True)
class Reais:
    """Centavos at the bank, the user's, and the house's; ``coins`` and ``coins_held`` are the user's, in wei."""

    bank: int = 0
    blocked: int = 0
    pending: int = 0
    held: int = 0
    available: int = 0
    desk: int = 0
    fees: int = 0
    network_fees: int = 0
    coins_held: int = 0
    coins: int = 0


SOLD = Reais(
    bank=PAY,
    desk=BOUGHT.gross_centavos,
    fees=BOUGHT.spread_centavos,
    network_fees=BOUGHT.network_fee_centavos,
)
"""After a purchase that was delivered outside."""

__all__ = ["BOUGHT", "PAY", "SOLD", "WINDOW", "BuyWorld", "ReceiptStatus"]
