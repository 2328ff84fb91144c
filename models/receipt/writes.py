"""Receipts: what the bank shows, with the postings that belong to each step.

In the ledger a receipt is the house's debt (``pix_pending``) until its fate is decided, against reais that are at the
bank: spendable (``pix_clearing``) or under its block (``pix_blocked``).
"""

from dataclasses import asdict, replace
from typing import Any

from pydantic import JsonValue
from sqlalchemy import func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import transitions
from models.assets import BRL
from models.charge.types import Charge
from models.dispute import queries as disputes
from models.dispute.writes import bells
from models.errors import Broken
from models.event.types import Event, EventKind
from models.event.writes import tell
from models.ids import new_id
from models.instant_trade import queries as trades
from models.ledger.chart import Account, Purpose, available, held, house
from models.ledger.post import post
from models.ledger.types import Kind, Transaction, move
from models.money import units_text
from models.outbox import put
from models.pix_refund import writes as refunds
from models.receipt import queries
from models.receipt.rules import RefundReason
from models.receipt.states import NEXT, ReceiptStatus
from models.receipt.tables import pix_receipts
from models.receipt.types import Payer, Receipt, Seen

S = ReceiptStatus
BANK = house(Purpose.PIX_CLEARING, BRL.id)
BLOCKED = house(Purpose.PIX_BLOCKED, BRL.id)
PENDING = house(Purpose.PIX_PENDING, BRL.id)
RESERVE = house(Purpose.PIX_RESERVE, BRL.id)
DESK = house(Purpose.DESK, BRL.id)


def credited_to(charge: Charge) -> Account:
    """A trade's reais are held until they buy; a deposit's are the user's at once."""
    return available(charge.user_id, BRL.id) if charge.is_deposit else held(charge.user_id, BRL.id)


def reference_of(charge: Charge) -> str:
    """What its postings refer to."""
    return charge.trade_id or charge.key


async def see(conn: AsyncConnection, charge: Charge, seen: Seen) -> bool:
    """Write what the bank shows of a receipt now; True if that is news. ``charge`` must be locked.

    Harmless to repeat. A block that ends makes it ``received``; some banks show no amount before that. What the bank
    took back after we had credited it is the house's loss, unless it was still held for a trade that had not bought
    anything with it. While a dispute is open, that says what became of the reais: a block lasts as long, and what the
    bank took back is left to it.
    """
    known = await queries.by_end_to_end_id(conn, charge.provider, seen.end_to_end_id)
    if known is not None and known.payer is Payer.UNKNOWN and seen.payer is not Payer.UNKNOWN:
        known = await _step(conn, known, known.status, payer=seen.payer)
    found = await _add(conn, charge, seen) if known is None else known
    if found.charge_key != charge.key:
        raise Broken(f"receipt {found.id} is shown on two charges")
    if claims := await disputes.open_claims(conn, found.id):
        if seen.taken_back_centavos > found.taken_back_centavos:
            await put(conn, *(message for each in claims for message in bells(each.provider, each.dispute_id)))
        return known is None
    if found.status is S.BLOCKED and not seen.is_blocked and seen.taken_back_centavos <= found.taken_back_centavos:
        await _unblock(conn, charge, found, seen)
        return True
    is_gone = 0 < seen.taken_back_centavos >= found.amount_centavos
    if is_gone and S.TAKEN_BACK in NEXT[found.status]:
        await _take_back(conn, charge, found)
        return True
    return known is None


async def credit(conn: AsyncConnection, charge: Charge, receipt: Receipt) -> None:
    """It pays for what the charge was made for."""
    await post(conn, await credit_only(conn, charge, receipt))


async def credit_only(conn: AsyncConnection, charge: Charge, receipt: Receipt) -> Transaction:
    """As :func:`credit`, but for the ledger: the caller posts this together with what it pays for.

    The ledger takes the locks of one call in one order; of two calls that name the same users it cannot.
    """
    await _step(conn, receipt, S.CREDITED)
    return _moved(charge, receipt, "credit", PENDING, credited_to(charge))


async def begin_refund(conn: AsyncConnection, charge: Charge, receipt: Receipt, reason: RefundReason) -> None:
    """Order its devolução, once; reais that were credited are taken off what is held for the user."""
    if receipt.status is S.CREDITED:
        await _move(conn, charge, receipt, "uncredit", credited_to(charge), PENDING)
    await _step(conn, receipt, S.REFUNDING, reason=reason)
    await refunds.order(conn, receipt_id=receipt.id, amount_centavos=receipt.left_centavos)


async def end_refund(conn: AsyncConnection, charge: Charge, receipt: Receipt, *, refunded: bool) -> None:
    """The devolução's end: the reais have left the bank, or are still there and an operator is needed."""
    if refunded:
        await _move(conn, charge, receipt, "refund", PENDING, BANK)
    await _step(conn, receipt, S.REFUNDED if refunded else S.REFUND_FAILED, reason=receipt.reason)


async def leave_to_user(conn: AsyncConnection, charge: Charge, receipt: Receipt) -> None:
    """An operator's ruling on a receipt that cannot go back: it becomes the user's balance."""
    await _move(conn, charge, receipt, "leave", PENDING, available(charge.user_id, BRL.id))
    await _step(conn, receipt, S.CREDITED, reason=receipt.reason)


async def _add(conn: AsyncConnection, charge: Charge, seen: Seen) -> Receipt:
    status = S.BLOCKED if seen.is_blocked else S.RECEIVED
    found = Receipt(
        id=new_id(),
        provider=charge.provider,
        end_to_end_id=seen.end_to_end_id,
        charge_key=charge.key,
        user_id=charge.user_id,
        amount_centavos=seen.amount_centavos,
        received_at=seen.received_at,
        payer=seen.payer,
        status=status,
        version=1,
    )
    row = {name: value for name, value in asdict(found).items() if value is not None}
    await conn.execute(insert(pix_receipts).values(row))
    await tell(conn, _changed(found))
    if not seen.is_blocked:
        await _move(conn, charge, found, "receive", BANK, PENDING)
    elif seen.amount_centavos:
        await _move(conn, charge, found, "block", BLOCKED, PENDING)
    return found


async def _unblock(conn: AsyncConnection, charge: Charge, receipt: Receipt, seen: Seen) -> None:
    if receipt.amount_centavos:
        await _move(conn, charge, receipt, "unblock", BANK, BLOCKED)
        await _step(conn, receipt, S.RECEIVED)
        return
    whole = replace(receipt, amount_centavos=seen.amount_centavos)
    await _move(conn, charge, whole, "receive", BANK, PENDING)
    await _step(conn, receipt, S.RECEIVED, amount_centavos=seen.amount_centavos)


async def _take_back(conn: AsyncConnection, charge: Charge, receipt: Receipt) -> None:
    source = PENDING
    if receipt.status is S.CREDITED:
        source = credited_to(charge) if await _is_unspent(conn, charge) else DESK
    target = BLOCKED if receipt.status is S.BLOCKED else BANK
    if receipt.amount_centavos:
        await _move(conn, charge, receipt, "take-back", source, target)
    await _step(conn, receipt, S.TAKEN_BACK, reason=receipt.reason, taken_back_centavos=receipt.amount_centavos)


async def lose(conn: AsyncConnection, receipt: Receipt, centavos: int) -> Receipt:
    """A dispute was lost: so much of it went back to the payer, which the dispute has booked. It must be locked."""
    taken = receipt.taken_back_centavos + centavos
    after = S.TAKEN_BACK if taken == receipt.amount_centavos else receipt.status
    return await _step(conn, receipt, after, reason=receipt.reason, taken_back_centavos=taken)


async def _is_unspent(conn: AsyncConnection, charge: Charge) -> bool:
    """Whether what was credited is still held, for a trade that has decided nothing."""
    return charge.trade_id is not None and await trades.outcome(conn, charge.trade_id) is None


async def _move(
    conn: AsyncConnection, charge: Charge, receipt: Receipt, step: str, source: Account, target: Account
) -> None:
    await post(conn, _moved(charge, receipt, step, source, target))


def _moved(charge: Charge, receipt: Receipt, step: str, source: Account, target: Account) -> Transaction:
    kind = Kind.RECEIPT_RETURN if step in {"uncredit", "refund", "take-back"} else Kind.RECEIPT
    key = f"receipt/{receipt.id}/{step}"
    return move(key, kind, reference_of(charge), source, target, receipt.left_centavos)


async def _step(conn: AsyncConnection, receipt: Receipt, after: ReceiptStatus, **columns: Any) -> Receipt:
    if after is not receipt.status:
        transitions.check("receipt", receipt.status, after)
    r = pix_receipts.c
    statement = (
        update(pix_receipts)
        .where(r.id == receipt.id, r.status == receipt.status, r.version == receipt.version)
        .values(status=after, version=receipt.version + 1, updated_at=func.now(), **columns)
    )
    if (await conn.execute(statement)).rowcount != 1:
        raise Broken(f"receipt {receipt.id} changed while its charge was locked")
    changed = replace(receipt, status=after, version=receipt.version + 1, **columns)
    if after is not receipt.status:
        await tell(conn, _changed(changed))
    return changed


def _changed(receipt: Receipt) -> Event:
    """``deposit_id``: of the charge it was paid on, which is a deposit of reais or a purchase."""
    payload: dict[str, JsonValue] = {
        "deposit_id": receipt.charge_key,
        "receipt_id": receipt.id,
        "asset": BRL.id,
        "network": None,
        "status": receipt.status,
        "reason": receipt.reason,
        "amount": units_text(receipt.amount_centavos, BRL.decimals),
        "version": receipt.version,
    }
    return Event(EventKind.DEPOSIT_STATUS_CHANGE, receipt.user_id, payload)
