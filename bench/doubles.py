"""A chain and a bank that take no time: what is left is Temporal, PostgreSQL and our own code."""

import hashlib
from collections.abc import Collection, Mapping
from datetime import date, datetime

from chains.protocol import Block, Fee, Incoming, Observation, Payment, Seen, Signed, Unsigned
from payments.protocol import PayoutOrder, PayoutReport, PayoutState, StatementLine, WebhookEvent

GWEI = 10**9
RICH = 10**30


class InstantChain:
    """Everybody is rich; what is handed in is final at once."""

    async def chain_id(self) -> int:
        return 1

    async def head(self) -> Block:
        return Block(100, "0x64", "0x63", 0)

    async def block(self, height: int) -> Block | None:
        return Block(height, hex(height), hex(height - 1), 0)

    async def balance(self, address: str, contract: str | None = None) -> int:
        return RICH

    async def nonce(self, address: str) -> int:
        return 0

    async def estimate_fee(self, payment: Payment) -> Fee:
        return Fee(21_000, 2 * GWEI, GWEI)

    def bump(self, fee: Fee, present: Fee) -> Fee:
        return fee

    async def broadcast(self, signed: Signed) -> None: ...

    async def observe(self, txid: str) -> Observation:
        return Observation(Seen.MINED, 1_000, 100, "0x64", 21_000 * GWEI)

    async def scan(
        self, first: int, last: int, *, addresses: Collection[str], contracts: Collection[str]
    ) -> list[Incoming]:
        return []

    async def close(self) -> None: ...


class InstantSigner:
    """Signs nothing: a hash stands for the bytes."""

    def address(self, index: int) -> str:
        return f"0x{index:040x}"

    def build(self, payment: Payment, *, nonce: int, fee: Fee, chain_id: int) -> Unsigned:
        return Unsigned(chain_id, nonce, payment, fee, {})

    def sign(self, unsigned: Unsigned, *, index: int) -> Signed:
        digest = hashlib.sha256(f"{index}/{unsigned.nonce}/{unsigned.payment}".encode()).hexdigest()
        return Signed(raw="0x02" + digest, txid="0x" + digest)


class InstantBank:
    """Pays in the answer."""

    name = "sandbox"

    async def payout(self, order: PayoutOrder) -> PayoutReport:
        return PayoutReport(PayoutState.PAID, order.amount_centavos, "1", f"E{order.key[:31]}")

    async def find_payout(self, key: str, provider_id: str | None = None) -> PayoutReport:
        return PayoutReport(PayoutState.PAID, None, "1", f"E{key[:31]}")

    async def balance(self) -> int:
        return RICH

    async def statement(self, day: date) -> list[StatementLine]:
        return []

    def verify_webhook(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> list[WebhookEvent]:
        return []

    def read_webhook(self, body: bytes, *, event_id: str) -> list[WebhookEvent]:
        return []

    async def close(self) -> None: ...
