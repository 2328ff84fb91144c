"""A small world for the books: a chain and a bank in memory, and the models on a real PostgreSQL.

The chain and the bank do only what a real one shows from outside; the rows are written by the same functions,
in the same order and transactions, as the activities write them. Its clock moves only when a test says so.
"""

import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liquida import checks
from liquida.checks import against_the_world
from liquida.database import engine as make_engine
from liquida.stack.postgres import as_owner
from models.assets import Asset, Family, Network
from models.bank_data import writes as bank_data
from models.bank_data.types import NewKeyRule, Payee
from models.deposit import returns
from models.deposit import writes as deposits
from models.deposit.tables import deposits as deposit_rows
from models.deposit.types import BlockMark, Found
from models.document import writes as documents
from models.document.types import Holder
from models.ids import new_id
from models.instant_trade import queries as trades
from models.instant_trade.advance import advance, follow_transfer
from models.instant_trade.operate import operate
from models.instant_trade.tables import instant_trades
from models.instant_trade.types import (
    Advance,
    Attestation,
    Decision,
    Nudge,
    Operation,
    Progress,
    Ruling,
    Terms,
    Trade,
    Waits,
)
from models.instant_trade.writes import accept
from models.ledger import queries as ledger
from models.ledger.chart import Account, Purpose, available, custody, held, house
from models.network.writes import seed
from models.payout import queries as payout_queries
from models.payout import writes as payouts
from models.payout.states import PayoutStatus
from models.payout.types import Report
from models.quote import writes as quotes
from models.quote.types import Funding, LockedSide, Quote, Side
from models.secret_box import SecretBox
from models.transfer import policy
from models.transfer import queries as transfers
from models.transfer import writes as transfer_writes
from models.transfer.states import TransferStatus
from models.transfer.types import Intent, Sighting, Transfer, TransferPurpose
from models.user.writes import add_user
from models.wallet import allocate
from models.wallet.allocate import AddressRole, SystemAddress
from payments.protocol import StatementLine
from tests.people import fresh_cpf

ETH = Asset("ETH.ethereum", "ETH", 18, "ethereum")
USDT = Asset("USDT.ethereum", "USDT", 6, "ethereum", "0x" + "d" * 40)
POL = Asset("POL.polygon", "POL", 18, "polygon")
NETWORKS = (
    Network("ethereum", "Ethereum", Family.EVM, 1, 3, "ETH.ethereum"),
    Network("polygon", "Polygon", Family.EVM, 137, 3, "POL.polygon"),
)
WALLET = "wallet"
ADDRESSES = 12
COIN = 10**18
PRICE = Decimal("15000.00")
SPREAD_BPS, FEE_BPS = 300, 25
RETURN_MIN = 500
GAS_FEE = 21_000 * 10**9
FEE = {"gas_limit": "21000", "max_fee_per_gas": "1000000000", "max_priority_fee_per_gas": "1"}
GAS_PRICE_MOST = 500 * 10**9
OUTSIDE = "0x" + "e" * 40
BOX = SecretBox("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
TERMS = Terms(900, 1800, 3600, "sandbox")
WAITS = Waits(15, 600, 180, 2, 600, 60)
NO_RULE = NewKeyRule(0, 10**15)
ANA = Payee("ana@example.com", "email", "Ana Souza", "11144477735")


def address_at(index: int) -> str:
    """One text for all networks, as in a family."""
    return f"0x{index:040x}"


def worth(units: int) -> tuple[int, int, int, int]:
    """Gross, spread, network fee and total, in centavos, for wei at ``PRICE``; round figures only."""
    gross = units * int(PRICE) * 100 // COIN
    spread, fee = -(-gross * SPREAD_BPS // 10_000), -(-gross * FEE_BPS // 10_000)
    return gross, spread, fee, gross - spread - fee


@dataclass
class Chain:
    """What the nodes would show: coins by (address, contract)."""

    coins: dict[tuple[str, str | None], int] = field(default_factory=dict)

    async def balance(self, address: str, contract: str | None = None) -> int:
        return self.coins.get((address, contract), 0)

    def move(self, source: str, target: str, units: int, contract: str | None = None) -> None:
        self.coins[source, contract] = self.coins.get((source, contract), 0) - units
        self.coins[target, contract] = self.coins.get((target, contract), 0) + units


@dataclass
class Bank:
    """The provider's books, as its statement shows them."""

    opening_centavos: int = 10_000_000_00
    lines: list[StatementLine] = field(default_factory=list)

    async def balance(self) -> int:
        return self.opening_centavos + sum(line.amount_centavos for line in self.lines)

    async def statement(self, day: date) -> list[StatementLine]:
        return [line for line in self.lines if line.time.date() == day]

    def write(self, key: str, centavos: int) -> None:
        """One line at noon, so that no time zone moves it to another day."""
        noon = datetime.now(UTC).replace(hour=15, minute=0, second=0, microsecond=0)
        self.lines.append(StatementLine(f"line-{len(self.lines)}", key, f"E{key}", centavos, noon))


@dataclass
class World:
    engine: AsyncEngine
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    chains: dict[str, Chain] = field(default_factory=lambda: {"ethereum": Chain(), "polygon": Chain()})
    bank: Bank = field(default_factory=Bank)
    user_id: str = ""
    bank_data_id: str = ""
    height: int = 100
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def chain(self) -> Chain:
        return self.chains["ethereum"]

    async def settle(self) -> None:
        """Networks and a derived wallet: what every test's database begins with."""
        async with self.engine.begin() as conn:
            await seed(conn, NETWORKS, (ETH, USDT, POL))
            await allocate.register_wallet(conn, WALLET)
            for network in NETWORKS:
                for index in range(ADDRESSES):
                    await allocate.add_address(
                        conn, wallet_id=WALLET, network_id=network.id, index=index, address=address_at(index)
                    )

    async def begin(self) -> "World":
        """One user, Ana, who has a platform address and a bank account."""
        self.user_id, self.bank_data_id = await self.join("ana@example.com", ANA.holder_tax_id)
        return self

    async def join(self, email: str, tax_id: str | None = None) -> tuple[str, str]:
        """A new user with a platform address and a verified document; their id and that of their bank data."""
        payee = Payee(ANA.pix_key, ANA.pix_key_kind, ANA.holder_name, tax_id or fresh_cpf())
        async with self.engine.begin() as conn:
            user = (await add_user(conn, email=email)).user_id
            await allocate.take(conn, network_id="ethereum", role=AddressRole.USER, user_id=user)
            await documents.verify(
                conn,
                BOX,
                user_id=user,
                holder=Holder(payee.holder_tax_id, payee.holder_name),
                masked="***",
                evidence="ticket-1",
                by=user,
            )
            data = await bank_data.add(conn, BOX, user_id=user, payee=payee, masked="a***@example.com")
        return user, data.id

    # What people do.

    async def quote(self, funding: Funding, units: int, *, asset: Asset = ETH, **other: object) -> Quote:
        gross, spread, fee, total = worth(units * 10 ** (18 - asset.decimals))
        values: dict[str, object] = {
            "id": new_id(),
            "user_id": self.user_id,
            "operation": Side.SELL,
            "asset_id": asset.id,
            "network_id": "ethereum",
            "funding": funding,
            "locked_side": LockedSide.AMOUNT,
            "amount_units": units,
            "price": PRICE,
            "gross_centavos": gross,
            "spread_centavos": spread,
            "network_fee_centavos": fee,
            "total_centavos": total,
            "return_min_centavos": RETURN_MIN,
            "refund_address": OUTSIDE if funding is Funding.DEPOSIT else None,
            "created_at": self.now,
            "expires_at": self.now + timedelta(seconds=30),
        }
        quote = Quote(**{**values, **other})
        async with self.engine.begin() as conn:
            await quotes.add(conn, quote)
        return quote

    async def sell(self, funding: Funding, units: int = COIN, *, asset: Asset = ETH, terms: Terms = TERMS) -> str:
        quote = await self.quote(funding, units, asset=asset)
        return await self.accept(quote, terms=terms)

    async def accept(
        self, quote: Quote, *, terms: Terms = TERMS, new_key: NewKeyRule = NO_RULE, primary: bool = False
    ) -> str:
        """``primary``: without naming bank data."""
        trade_id = new_id()
        async with self.engine.begin() as conn:
            used = await quotes.use(conn, quote_id=quote.id, user_id=quote.user_id, now=self.now)
            await accept(
                conn,
                used,
                box=BOX,
                trade_id=trade_id,
                bank_data_id=None if primary else self.bank_data_id,
                new_key=new_key,
                terms=terms,
                waits=WAITS,
                now=self.now,
            )
        return trade_id

    async def advance(self, trade_id: str, *, cancel: bool = False, reopen: bool = False) -> Progress:
        order = Advance(trade_id, TERMS, cancel=cancel, reopen=reopen)
        async with self.engine.begin() as conn:
            return await advance(conn, order, now=self.now)

    async def cancel(self, trade_id: str) -> Progress:
        return await self.advance(trade_id, cancel=True)

    async def reopen(self, trade_id: str) -> Progress:
        return await self.advance(trade_id, reopen=True)

    async def attest(self, trade_id: str, *, paid: bool) -> Progress:
        word = Attestation("operator", paid, "statement-7", "E1" if paid else None)
        return await self._operate(Operation(trade_id, TERMS, attestation=word))

    async def rule(self, trade_id: str, ruling: Ruling) -> Progress:
        return await self._operate(Operation(trade_id, TERMS, decision=Decision("operator", ruling, "ticket-7")))

    async def nudge(self, trade_id: str) -> Progress:
        return await self._operate(Operation(trade_id, TERMS, nudge=Nudge("operator", "ticket-8")))

    async def _operate(self, operation: Operation) -> Progress:
        async with self.engine.begin() as conn:
            return await operate(conn, operation, now=self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # What the chain shows of deposits.

    async def source(self, trade_id: str) -> SystemAddress:
        async with self.engine.connect() as conn:
            return await allocate.by_id(conn, (await trades.trade(conn, trade_id)).source_address_id)

    async def arrive(
        self,
        address: SystemAddress,
        units: int,
        *,
        asset: Asset = ETH,
        txid: str | None = None,
        at: datetime | None = None,
        log_index: int = -1,
    ) -> int:
        """A transfer from outside to ``address``, in a new block; the deposit's id."""
        self.height += 1
        txid = txid or f"0x{next(self.numbers):064x}"
        network = asset.network or ""
        found = Found(
            txid=txid,
            log_index=log_index,
            asset_id=asset.id,
            address_id=address.id,
            trade_id=address.trade_id,
            from_address=OUTSIDE,
            amount_units=units,
            block_height=self.height,
            block_hash=f"0xb{self.height}",
            block_time=at or self.now,
        )
        self.chains[network].move(OUTSIDE, address.address, units, asset.contract)
        async with self.engine.begin() as conn:
            await deposits.record(conn, network, [BlockMark(self.height, found.block_hash)], [found])
            d = deposit_rows.c
            same = select(d.id).where(d.network_id == network, d.txid == txid, d.log_index == log_index)
            return int((await conn.execute(same)).scalar_one())

    async def deposit(self, trade_id: str, units: int, *, asset: Asset = ETH, at: datetime | None = None) -> int:
        """A deposit to a trade's address, seen and not final."""
        return await self.arrive(await self.source(trade_id), units, asset=asset, at=at)

    async def make_final(self, deposit_id: int) -> None:
        async with self.engine.begin() as conn:
            await deposits.book(conn, deposit_id)

    async def drop_block(self, deposit_id: int) -> None:
        """A reorg that drops the block of this deposit, and every later one."""
        async with self.engine.begin() as conn:
            d = deposit_rows.c
            height = (await conn.execute(select(d.block_height).where(d.id == deposit_id))).scalar_one()
            gone = select(deposit_rows).where(d.block_height >= height, d.status == "seen")
            for row in await conn.execute(gone):
                to = await allocate.by_id(conn, row.address_id)
                self.chains[row.network_id].move(to.address, OUTSIDE, row.amount_units)
            await deposits.rewind(conn, "ethereum", height - 1)

    async def give_coins(self, units: int) -> None:
        """Ana's platform address receives coins, final at once."""
        async with self.engine.connect() as conn:
            address = await allocate.of_user(conn, user_id=self.user_id, network_id="ethereum")
        assert address is not None
        await self.make_final(await self.arrive(address, units))

    async def fund_house(self, units: int = 100 * COIN) -> None:
        async with self.engine.connect() as conn:
            desk = await allocate.house(conn, "ethereum")
        await self.make_final(await self.arrive(desk, units))

    # What custody and the chain do with transfers.

    async def sign(self, key: str) -> str:
        """As ``activities/custody.py``; the transaction's id."""
        async with self.engine.begin() as conn:
            transfer = await transfers.transfer(conn, key, lock=True)
            await transfer_writes.offer_fee(conn, transfer, dict(FEE))
            transfer = await transfers.transfer(conn, key, lock=True)
            await policy.check(conn, transfer, fee_most=GAS_FEE, gas_limit=21_000, gas_price_most=GAS_PRICE_MOST)
            await transfer_writes.meet_chain_nonce(conn, transfer, 0)
            nonce = transfer.nonce
            if nonce is None:
                nonce = await transfer_writes.reserve_nonce(conn, transfer)
            earlier = (await transfers.attempts(conn, [key])).get(key, [])
            txid = "0x" + hashlib.sha256(f"{key}/{len(earlier)}".encode()).hexdigest()
            await transfer_writes.store_signed(
                conn, transfer, attempt=len(earlier) + 1, nonce=nonce, txid=txid, raw="0xraw"
            )
        return txid

    async def broadcast(self, key: str) -> None:
        async with self.engine.begin() as conn:
            transfer = await transfers.transfer(conn, key, lock=True)
            txid = (await transfers.attempts(conn, [key]))[key][-1].txid
            await transfer_writes.mark_broadcast(conn, transfer, txid)

    async def mine(self, key: str, *, reverted: bool = False) -> None:
        """The transfer is in a block; its coins have moved and its fee is spent."""
        if (await self.transfer(key)).status is TransferStatus.INTENDED:
            await self.sign(key)
        if (await self.transfer(key)).status is TransferStatus.SIGNED:
            await self.broadcast(key)
        transfer = await self.transfer(key)
        self._spend(transfer, 1, reverted=reverted)
        self.height += 1
        txid = await self._txid(key)
        await self._sight(key, Sighting(TransferStatus.MINED, txid, self.height, f"0xb{self.height}", 1, GAS_FEE))

    async def reorg(self, key: str, *, reverted: bool = False) -> None:
        """The block with the transfer is dropped; the transaction is in the pool again."""
        self._spend(await self.transfer(key), -1, reverted=reverted)
        await self._sight(key, Sighting(TransferStatus.BROADCAST))

    async def finish(self, key: str, *, reverted: bool = False) -> None:
        """The transfer is final: done, or reverted with its fee spent."""
        if (await self.transfer(key)).status is not TransferStatus.MINED:
            await self.mine(key, reverted=reverted)
        transfer = await self.transfer(key)
        status = TransferStatus.FAILED if reverted else TransferStatus.FINAL
        place = (transfer.txid, transfer.block_height, transfer.block_hash)
        await self._sight(key, Sighting(status, *place, 3, GAS_FEE))

    async def reject(self, key: str) -> None:
        """The chain refuses it before anything is signed."""
        async with self.engine.begin() as conn:
            transfer = await transfers.transfer(conn, key, lock=True)
            await transfer_writes.reject(conn, transfer, "execution reverted")

    async def top_up(self, parent_key: str, units: int = GAS_FEE) -> str:
        """As ``activities/chain.py: _top_up``: gas for the address that is to send ``parent_key``."""
        async with self.engine.begin() as conn:
            parent = await transfers.transfer(conn, parent_key)
            desk = await allocate.house(conn, parent.network_id)
            intent = Intent(
                key=f"{parent_key}/gas",
                purpose=TransferPurpose.GAS,
                network_id=parent.network_id,
                asset_id=ETH.id,
                from_address_id=desk.id,
                to_address=parent.from_address,
                amount_units=units,
                trade_id=parent.trade_id,
                parent_key=parent_key,
            )
            await transfer_writes.intend(conn, intent)
        await self.finish(intent.key)
        return intent.key

    async def transfer(self, key: str) -> Transfer:
        async with self.engine.connect() as conn:
            return await transfers.transfer(conn, key)

    async def transfers_of(self, trade_id: str) -> list[Transfer]:
        async with self.engine.connect() as conn:
            return await transfers.of_trade(conn, trade_id)

    async def close_return(self, return_id: str, *, returned: bool = True) -> None:
        async with self.engine.begin() as conn:
            await returns.close(conn, return_id, returned=returned)

    async def _txid(self, key: str) -> str:
        async with self.engine.connect() as conn:
            return (await transfers.attempts(conn, [key]))[key][-1].txid

    def _spend(self, transfer: Transfer, sign: int, *, reverted: bool) -> None:
        contract = USDT.contract if transfer.asset_id == USDT.id else None
        chain = self.chains[transfer.network_id]
        chain.move(transfer.from_address, "miner", sign * GAS_FEE)
        if not reverted:
            chain.move(transfer.from_address, transfer.to_address, sign * transfer.amount_units, contract)

    async def _sight(self, key: str, seen: Sighting) -> None:
        """As ``activities/chain.py: _record``."""
        async with self.engine.begin() as conn:
            locked = await transfers.transfer(conn, key, lock=True)
            moved = await transfer_writes.record_sighting(conn, locked, seen, native_asset=ETH.id)
            if moved and locked.trade_id and locked.purpose is TransferPurpose.CUSTODY:
                await follow_transfer(conn, locked.trade_id, now=self.now)

    # What the bank does with payouts.

    async def submit(self, trade_id: str) -> None:
        async with self.engine.begin() as conn:
            payout = await payout_queries.payout(conn, trade_id, lock=True)
            assert payout is not None
            await payouts.mark_submitting(conn, payout)

    async def hear(self, trade_id: str, status: PayoutStatus, reason: str | None = None) -> None:
        """The provider's word about a payout, written down; a payment and a return move the bank's money."""
        if (await self.payout_status(trade_id)) is PayoutStatus.CREATED:
            await self.submit(trade_id)
        async with self.engine.begin() as conn:
            payout = await payout_queries.payout(conn, trade_id, lock=True)
            assert payout is not None
            report = Report(status, f"P{trade_id}", f"E{trade_id}", reason)
            await payouts.record(conn, payout, report)
        if payout.status is not status is PayoutStatus.PAID:
            self.bank.write(trade_id, -payout.amount_centavos)
        if payout.status is not status is PayoutStatus.RETURNED:
            self.bank.write(trade_id, payout.amount_centavos)

    async def payout_status(self, trade_id: str) -> PayoutStatus | None:
        async with self.engine.connect() as conn:
            payout = await payout_queries.payout(conn, trade_id)
        return None if payout is None else payout.status

    # What can be read.

    async def trade(self, trade_id: str) -> Trade:
        async with self.engine.connect() as conn:
            return await trades.trade(conn, trade_id)

    async def trade_ids(self) -> list[str]:
        async with self.engine.connect() as conn:
            return list((await conn.execute(select(instant_trades.c.id))).scalars())

    async def status(self, trade_id: str) -> str:
        trade = await self.trade(trade_id)
        return f"{trade.status}" + (f": {trade.reason}" if trade.reason else "")

    async def balance(self, account: Account) -> int:
        async with self.engine.connect() as conn:
            return await ledger.balance(conn, account)

    async def available(self, asset: str = ETH.id) -> int:
        return await self.balance(available(self.user_id, asset))

    async def held(self, asset: str = ETH.id) -> int:
        return await self.balance(held(self.user_id, asset))

    async def house(self, purpose: Purpose, asset: str = ETH.id) -> int:
        return await self.balance(house(purpose, asset))

    async def custody(self, asset: str = ETH.id, network: str = "ethereum") -> int:
        return await self.balance(custody(network, asset))

    async def scalar(self, statement: str, **values: object) -> object:
        async with self.engine.connect() as conn:
            return (await conn.execute(text(statement), values)).scalar()

    async def execute(self, statement: str, **values: object) -> None:
        async with self.engine.begin() as conn:
            await conn.execute(text(statement), values)

    @asynccontextmanager
    async def as_owner(self) -> AsyncIterator[AsyncConnection]:
        """A transaction of the role that owns the tables: what the program can never do."""
        owner = make_engine(as_owner(str(self.engine.url)), pool=1)
        try:
            async with owner.begin() as conn:
                yield conn
        finally:
            await owner.dispose()

    async def execute_as_owner(self, statement: str, **values: object) -> None:
        async with self.as_owner() as conn:
            await conn.execute(text(statement), values)

    async def broken_laws(self) -> dict[str, list[str]]:
        async with self.engine.connect() as conn:
            return await checks.check_all(conn)

    async def differences(self) -> list[str]:
        """Between the books and the world."""
        async with self.engine.connect() as conn:
            return await against_the_world.violations(
                conn,
                chains=self.chains,
                banks={"sandbox": self.bank},
                opening_centavos={"sandbox": self.bank.opening_centavos},
            )

    async def standing(self, trade_id: str) -> "Standing":
        """Where a trade and its user stand. All laws must hold, and the world must agree."""
        assert {} == await self.broken_laws()
        assert [] == await self.differences()
        return Standing(
            await self.status(trade_id),
            await self.available(),
            await self.held(),
            await self.available("BRL"),
            await self.held("BRL"),
        )


@dataclass(frozen=True)
class Standing:
    """``status``: with its reason. The user's accounts in wei and centavos."""

    status: str
    available: int = 0
    held: int = 0
    brl_available: int = 0
    brl_held: int = 0
