"""Law: the books and the world agree: the ledger with the coins on chain, the payouts with the bank's statement.

Exact while nothing is in flight. What is in flight widens the comparison by just what may have moved meanwhile,
and the books are read before and after the world, because both go on moving. A difference is only told,
never repaired: a person decides what happened.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic.dataclasses import dataclass
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.protocol import Chain
from models.money import Units
from payments.protocol import PixProvider, StatementLine

BANK_TIME = ZoneInfo("America/Sao_Paulo")
CALLS_AT_ONCE = 16

_EXPECTED = text("""
WITH booked AS (
    SELECT substr(a.purpose, 9) AS network_id, a.asset_id, -sum(p.amount) AS units
        FROM ledger_accounts AS a JOIN ledger_postings AS p ON p.account_id = a.id
        WHERE a.purpose LIKE 'custody:%' GROUP BY a.purpose, a.asset_id
), coming AS (
    SELECT network_id, asset_id, sum(amount_units) AS units FROM deposits WHERE status = 'seen'
        GROUP BY network_id, asset_id
), leaving AS (
    SELECT x.network_id, x.asset_id, x.status, x.amount_units AS units
        FROM transfer_transactions AS x
        LEFT JOIN instant_trades AS t ON t.id = x.trade_id
        LEFT JOIN ledger_transactions AS l
            ON l.key = CASE x.purpose WHEN 'refund' THEN x.trade_id || '/refund' ELSE x.key END
        WHERE x.status IN ('signed', 'broadcast', 'mined', 'final') AND l.id IS NULL
          AND (x.purpose = 'return' OR (x.purpose = 'refund' AND t.funding = 'deposit')
               OR (x.purpose = 'delivery' AND t.delivery = 'address'))
), fees AS (
    SELECT x.network_id, n.native_asset AS asset_id,
           max((a.fee->>'gas_limit')::numeric * (a.fee->>'max_fee_per_gas')::numeric) AS units
        FROM transfer_transactions AS x
        JOIN networks AS n ON n.id = x.network_id
        JOIN transfer_attempts AS a ON a.key = x.key
        WHERE x.status IN ('signed', 'broadcast', 'mined') GROUP BY x.key, n.native_asset
), parts AS (
    SELECT network_id, asset_id, units AS least, units AS most FROM booked
    UNION ALL SELECT network_id, asset_id, 0, units FROM coming
    UNION ALL SELECT network_id, asset_id, -units, CASE WHEN status = 'final' THEN -units ELSE 0 END FROM leaving
    UNION ALL SELECT network_id, asset_id, -units, 0 FROM fees
)
SELECT a.network_id, a.id AS asset_id, a.contract,
       coalesce(sum(p.least), 0) AS least, coalesce(sum(p.most), 0) AS most
    FROM assets AS a LEFT JOIN parts AS p ON p.asset_id = a.id AND p.network_id = a.network_id
    WHERE a.network_id = :network GROUP BY a.id ORDER BY a.id
""")
_ADDRESSES = text("SELECT address FROM system_addresses WHERE network_id = :network ORDER BY id")

_PAYOUTS = text("""
SELECT 'payout' AS noun, key, status, amount_centavos, submitted_at
    FROM payouts WHERE provider = :provider ORDER BY created_at, key
""")
_INCOMING = text("""
SELECT c.key, c.created_at,
       coalesce(array_agg(r.amount_centavos) FILTER (WHERE r.id IS NOT NULL), '{}')
           || coalesce(array_agg(-r.amount_centavos) FILTER (WHERE r.status = 'taken_back'), '{}') AS lines,
       coalesce(sum(r.amount_centavos) FILTER (
           WHERE r.status IN ('received', 'credited', 'refunding', 'refund_failed')), 0)::bigint AS there
    FROM charges AS c LEFT JOIN pix_receipts AS r ON r.charge_key = c.key
    WHERE c.provider = :provider GROUP BY c.key
""")
_REFUNDS = text("""
SELECT 'devolução' AS noun, f.key, f.status, f.amount_centavos, f.submitted_at
    FROM pix_refunds AS f JOIN pix_receipts AS r ON r.id = f.receipt_id
    WHERE r.provider = :provider ORDER BY f.created_at, f.key
""")
_CLEARING = text("""
SELECT (SELECT coalesce(sum(p.amount), 0) FROM ledger_postings AS p JOIN ledger_accounts AS a ON a.id = p.account_id
        WHERE a.purpose = 'pix_clearing') AS clearing,
       (SELECT coalesce(sum(CASE l.kind WHEN 'payout' THEN p.amount_centavos ELSE -p.amount_centavos END), 0)
        FROM payouts AS p JOIN ledger_transactions AS l
        ON l.key IN (p.trade_id || '/payout', p.trade_id || '/payout-return'))
       - (SELECT coalesce(sum(amount_centavos), 0) FROM pix_receipts
          WHERE status IN ('received', 'credited', 'refunding', 'refund_failed')) AS by_rows
""")


@dataclass(frozen=True, slots=True)
class _Expected:
    """How many base units of an asset our addresses must hold together: between ``least`` and ``most``."""

    asset_id: str
    contract: str | None
    least: Units
    most: Units


@dataclass(frozen=True, slots=True)
class _Sent:
    """A payout or a devolução."""

    noun: str
    key: str
    status: str
    amount_centavos: Units
    submitted_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Charge:
    """``lines``: what the bank must show of it. ``there``: what of that is still ours to spend."""

    key: str
    created_at: datetime
    lines: list[Units]
    there: Units


async def violations(
    conn: AsyncConnection,
    *,
    chains: Mapping[str, Chain],
    banks: Mapping[str, PixProvider],
    since: date | None = None,
    opening_centavos: Mapping[str, int] | None = None,
) -> list[str]:
    """Every difference between the books and the world, in words.

    :param chains: by network id; each is asked for the balances of all our addresses.
    :param banks: by provider name; each is asked for its statement.
    :param since: the first day, in the bank's time, whose payouts are compared; all by default.
    :param opening_centavos: by provider name, what the account held before our first payout and has been
        given since by others than us; where it is known, the account's balance is compared too.
    :raises NodeUnavailable: a chain does not answer; nothing was compared there.
    :raises PayoutUnknown: a bank does not answer.
    """
    found: list[str] = []
    for network, chain in chains.items():
        found += await chain_violations(conn, network, chain)
    for name, bank in banks.items():
        opening = (opening_centavos or {}).get(name)
        found += await bank_violations(conn, name, bank, since=since, opening_centavos=opening)
    return found + await _clearing_violations(conn)


async def chain_violations(conn: AsyncConnection, network_id: str, chain: Chain) -> list[str]:
    """Compare ``custody:<network>`` of each asset with the coins at all our addresses there."""
    before = await _expected(conn, network_id)
    addresses = list((await conn.execute(_ADDRESSES, {"network": network_id})).scalars())
    there = {one.asset_id: await _total(chain, addresses, one.contract) for one in before}
    after = {one.asset_id: one for one in await _expected(conn, network_id)}
    found = []
    for one in before:
        other = after.get(one.asset_id, one)
        least, most = min(one.least, other.least), max(one.most, other.most)
        if not least <= there[one.asset_id] <= most:
            books = str(most) if least == most else f"{least} to {most}"
            found.append(f"{network_id}: the chain holds {there[one.asset_id]} of {one.asset_id}, the books {books}")
    return found


async def bank_violations(
    conn: AsyncConnection,
    provider: str,
    bank: PixProvider,
    *,
    since: date | None = None,
    opening_centavos: int | None = None,
) -> list[str]:
    """Compare each payout, charge and devolução with the bank's lines of its key.

    Once out if paid, once back if returned; once in for each receipt, once out for what was sent or taken back.
    """
    before = {sent.key: sent for sent in await _sent(conn, provider)}
    began = [sent.submitted_at for sent in before.values() if sent.submitted_at]
    began += [charge.created_at for charge in await _charges(conn, provider)]
    first = since or min((moment.astimezone(BANK_TIME).date() for moment in began), default=_today())
    lines = await _lines(bank, first)
    balance = None if opening_centavos is None else await bank.balance()
    sent = {one.key: one for one in await _sent(conn, provider)}
    charges = {charge.key: charge for charge in await _charges(conn, provider)}
    by_key: dict[str, list[int]] = {}
    for line in lines:
        by_key.setdefault(line.key or "", []).append(line.amount_centavos)
    found = [
        f"{provider}: {one.noun} {key} is {one.status}, the bank's lines are {by_key.get(key, [])}"
        for key, one in sent.items()
        if one.submitted_at
        and one.submitted_at.astimezone(BANK_TIME).date() >= first
        and by_key.get(key, []) not in _may_show(one) + _may_show(before.get(key, one))
    ]
    found += [
        f"{provider}: charge {key} has the lines {by_key.get(key, [])} at the bank, and {charge.lines} in our books"
        for key, charge in charges.items()
        if charge.created_at.astimezone(BANK_TIME).date() >= first
        and sorted(by_key.get(key, [])) != sorted(charge.lines)
    ]
    found += [
        f"{provider}: line {line.id} moves {line.amount_centavos} centavos for nothing of ours"
        for line in lines
        if line.key not in sent and line.key not in charges
    ]
    if opening_centavos is not None and balance is not None:
        there = opening_centavos + sum(charge.there for charge in charges.values())
        found += _balance_violations(provider, list(sent.values()), there, balance)
    return found


def _may_show(payout: _Sent) -> list[list[int]]:
    """The lines that a bank may show for a payout in this state, each a list of centavos, oldest first."""
    out, back = -payout.amount_centavos, payout.amount_centavos
    match payout.status:
        case "paid" | "refunded":
            return [[out]]
        case "returned":
            return [[out, back]]
        case "created":
            return [[]]
        case "rejected":
            return [[], [out, back]]
        case _:
            return [[], [out], [out, back]]


def _balance_violations(provider: str, payouts: list[_Sent], opening: int, balance: int) -> list[str]:
    known = opening - sum(payout.amount_centavos for payout in payouts if payout.status == "paid")
    moving = sum(
        payout.amount_centavos for payout in payouts if payout.status in {"submitted", "unknown", "processing"}
    )
    if known - moving <= balance <= known:
        return []
    return [f"{provider}: the account holds {balance} centavos, the books {known - moving} to {known}"]


async def _clearing_violations(conn: AsyncConnection) -> list[str]:
    row = (await conn.execute(_CLEARING)).one()
    if row.clearing == row.by_rows:
        return []
    return [f"pix_clearing is {row.clearing} centavos, the payouts and receipts booked there are {row.by_rows}"]


async def _expected(conn: AsyncConnection, network_id: str) -> list[_Expected]:
    rows = await conn.execute(_EXPECTED, {"network": network_id})
    return [_Expected(row.asset_id, row.contract, int(row.least), int(row.most)) for row in rows]


async def _sent(conn: AsyncConnection, provider: str) -> list[_Sent]:
    return [
        _Sent(**row._mapping)
        for statement in (_PAYOUTS, _REFUNDS)
        for row in await conn.execute(statement, {"provider": provider})
    ]


async def _charges(conn: AsyncConnection, provider: str) -> list[_Charge]:
    return [_Charge(**row._mapping) for row in await conn.execute(_INCOMING, {"provider": provider})]


async def _total(chain: Chain, addresses: list[str], contract: str | None) -> int:
    gate = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(address: str) -> int:
        async with gate:
            return await chain.balance(address, contract)

    return sum(await asyncio.gather(*(one(address) for address in addresses)))


async def _lines(bank: PixProvider, first: date) -> list[StatementLine]:
    lines: list[StatementLine] = []
    day, last = first, _today()
    while day <= last:
        lines += await bank.statement(day)
        day += timedelta(days=1)
    return lines


def _today() -> date:
    return datetime.now(UTC).astimezone(BANK_TIME).date()
