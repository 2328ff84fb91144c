"""A dispute in the ledger: what a claim is covered with, and what its end does with that.

While it is open the bank keeps the claimed reais from us: they are in ``pix_blocked``. A claim on reais that were
credited is covered by a reserve (``pix_reserve``): from the user's free reais as much as is there, and the rest from
the desk. A claim on a receipt that was credited to nobody needs none: what we owe for it (``pix_pending``) is still
there.

Callers have locked trade, charge, receipt and dispute, in this order.
"""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from models.assets import BRL
from models.charge.types import Charge
from models.dispute import queries
from models.dispute.states import DisputeStatus
from models.dispute.types import Cover, Dispute
from models.dispute.writes import step
from models.errors import Broken, InsufficientFunds
from models.ledger import queries as ledger
from models.ledger.chart import Account, available
from models.ledger.post import post
from models.ledger.types import Kind, Posting, Transaction
from models.receipt.states import ReceiptStatus
from models.receipt.types import Receipt
from models.receipt.writes import BANK, BLOCKED, DESK, PENDING, RESERVE, lose, reference_of

R = ReceiptStatus
TRIES = 5
"""How often the user's balance is read anew because something else moved it meanwhile."""
CLAIMED = "set aside: the payer's bank claims this PIX back"
GIVEN_BACK = "given back: the bank's claim on this PIX has ended"
TAKEN = "taken: the payer's bank took this PIX back"


async def cover(conn: AsyncConnection, charge: Charge, receipt: Receipt, dispute: Dispute) -> Dispute:
    """Set aside what an open dispute claims. Harmless to repeat.

    A receipt that we are sending back ourselves is waited for: the bank then either lets it go, and nothing is left
    to be claimed, or refuses. So is one under a block whose amount the bank does not show yet.
    """
    if dispute.status is not DisputeStatus.OPEN or receipt.status is R.REFUNDING or not receipt.amount_centavos:
        return dispute
    if dispute.cover is Cover.PENDING and receipt.status is R.CREDITED:
        return await _reserve(conn, charge, receipt, dispute, dispute.covered_centavos)
    if dispute.cover in {Cover.RESERVE, Cover.PENDING}:
        return dispute
    claim = min(dispute.amount_centavos, await _left(conn, receipt))
    if receipt.status in {R.REFUNDED, R.TAKEN_BACK} or claim <= 0:
        if dispute.cover is Cover.NOTHING:
            return dispute
        return await step(conn, dispute, "nothing_to_claim", cover=Cover.NOTHING)
    if receipt.status is R.CREDITED:
        return await _reserve(conn, charge, receipt, dispute, claim)
    if receipt.status is not R.BLOCKED:
        await _post(conn, charge, dispute, "open", {BANK: claim, BLOCKED: -claim}, CLAIMED)
    return await step(conn, dispute, "covered", cover=Cover.PENDING, covered_centavos=claim)


async def win(conn: AsyncConnection, charge: Charge, receipt: Receipt, dispute: Dispute) -> Dispute:
    """All goes back to where it came from."""
    await _post(conn, charge, dispute, "won", _released(charge, receipt, dispute), GIVEN_BACK)
    return await step(conn, dispute, "won", status=DisputeStatus.WON, cover=dispute.cover or Cover.NOTHING)


async def give_up(
    conn: AsyncConnection, charge: Charge, receipt: Receipt, dispute: Dispute, *, trade_is_over: bool
) -> Dispute | None:
    """The reais went back to the payer; None while that cannot be booked yet.

    That is while the receipt is being sent back by us, and while the trade it paid for may still be undone, because
    only then it turns out whose loss it is. One that we sent back after all leaves nothing to lose; should the bank
    have taken it twice, its statement has a line that nothing of ours explains.
    """
    is_undecided = receipt.status is R.CREDITED and not trade_is_over
    if dispute.cover is None or receipt.status is R.REFUNDING or is_undecided:
        return None
    if dispute.cover is Cover.NOTHING:
        return await _share(conn, charge, receipt, dispute)
    if receipt.status is R.REFUNDED:
        await _post(conn, charge, dispute, "lost", _released(charge, receipt, dispute), GIVEN_BACK)
        return await step(conn, dispute, "lost", status=DisputeStatus.LOST)
    claim = dispute.covered_centavos
    parts, reason = {BLOCKED: claim, PENDING: -claim}, GIVEN_BACK
    if receipt.status is R.CREDITED:
        parts = {BLOCKED: claim, RESERVE: -claim}
    elif receipt.status not in {R.BLOCKED, R.RECEIVED, R.REFUND_FAILED}:
        raise Broken(f"dispute {dispute.id} covers a receipt that is {receipt.status}")
    elif dispute.cover is Cover.RESERVE:
        parts |= _given_back(charge, dispute)
    await _post(conn, charge, dispute, "lost", parts, reason)
    await lose(conn, receipt, claim)
    return await step(conn, dispute, "lost", status=DisputeStatus.LOST, taken_centavos=claim)


async def _share(conn: AsyncConnection, charge: Charge, receipt: Receipt, dispute: Dispute) -> Dispute:
    """The bank took it before we knew why, and the desk paid: now the user bears what they can, as in a dispute."""
    borne = await _borne_by_desk(conn, charge, receipt) - await queries.borne_before(conn, receipt.id)
    share = min(dispute.amount_centavos, max(0, borne))
    from_user = 0
    if share:
        from_user = await _take(conn, charge, dispute, "lost", share, {}, DESK, TAKEN)
    return await step(
        conn,
        dispute,
        "lost",
        status=DisputeStatus.LOST,
        from_user_centavos=from_user,
        from_house_centavos=share - from_user,
    )


async def _reserve(conn: AsyncConnection, charge: Charge, receipt: Receipt, dispute: Dispute, claim: int) -> Dispute:
    is_blocked = dispute.cover is Cover.PENDING
    name = "reserve" if is_blocked else "open"
    bank = {} if is_blocked else {BANK: claim, BLOCKED: -claim}
    if receipt.status is not R.CREDITED:
        raise Broken(f"receipt {receipt.id} is {receipt.status} and owes no reserve")
    from_user = await _take(conn, charge, dispute, name, claim, bank, RESERVE, CLAIMED)
    return await step(
        conn,
        dispute,
        "reserved",
        cover=Cover.RESERVE,
        covered_centavos=claim,
        from_user_centavos=from_user,
        from_house_centavos=claim - from_user,
    )


async def _take(
    conn: AsyncConnection,
    charge: Charge,
    dispute: Dispute,
    name: str,
    centavos: int,
    besides: Mapping[Account, int],
    target: Account,
    reason: str,
) -> int:
    """Post ``centavos`` to ``target``: the user's free reais as far as they go, else the desk's. The user's part."""
    free = available(charge.user_id, BRL.id)
    for attempt in range(TRIES + 1):
        there = 0 if attempt == TRIES else await ledger.balance(conn, free)
        from_user = min(centavos, there)
        parts = {free: -from_user, target: centavos, **besides}
        parts[DESK] = parts.get(DESK, 0) - (centavos - from_user)
        try:
            async with conn.begin_nested():
                await _post(conn, charge, dispute, name, parts, reason)
        except InsufficientFunds:
            continue
        return from_user
    raise AssertionError("the last attempt takes nothing of the user's")


def _released(charge: Charge, receipt: Receipt, dispute: Dispute) -> dict[Account, int]:
    claim = dispute.covered_centavos
    if not claim:
        return {}
    bank = {} if receipt.status is R.BLOCKED else {BANK: -claim, BLOCKED: claim}
    return bank | (_given_back(charge, dispute) if dispute.cover is Cover.RESERVE else {})


def _given_back(charge: Charge, dispute: Dispute) -> dict[Account, int]:
    return {
        RESERVE: -dispute.covered_centavos,
        available(charge.user_id, BRL.id): dispute.from_user_centavos,
        DESK: dispute.from_house_centavos,
    }


async def _left(conn: AsyncConnection, receipt: Receipt) -> int:
    """What of a receipt no open dispute claims."""
    claims = await queries.open_claims(conn, receipt.id)
    return receipt.left_centavos - sum(each.covered_centavos for each in claims)


async def _borne_by_desk(conn: AsyncConnection, charge: Charge, receipt: Receipt) -> int:
    postings = await ledger.postings_of(conn, [reference_of(charge)])
    key = f"receipt/{receipt.id}/take-back"
    return -sum(p.amount_units for p in postings if p.key == key and (p.purpose, p.owner) == (DESK.purpose, None))


async def _post(
    conn: AsyncConnection, charge: Charge, dispute: Dispute, name: str, parts: Mapping[Account, int], reason: str
) -> None:
    postings = tuple(Posting(account, units) for account, units in parts.items() if units)
    if postings:
        key = f"dispute/{dispute.id}/{name}"
        await post(conn, Transaction(key, Kind.DISPUTE, reference_of(charge), postings, reason))
