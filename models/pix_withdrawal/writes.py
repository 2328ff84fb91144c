"""A withdrawal's acceptance, and what operators say about its payout."""

from datetime import datetime, timedelta

from pydantic import JsonValue
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.bank_data import writes as bank_data
from models.bank_data.types import NewKeyRule
from models.errors import IllegalTransition
from models.event.writes import tell
from models.instant_trade.types import Attestation, Terms, Waits
from models.ledger.post import post
from models.outbox import look, put
from models.payout import writes as payouts
from models.payout.night import not_before
from models.payout.states import PayoutStatus
from models.payout.types import Report
from models.pix_limit import queries as limits
from models.pix_limit.rules import Movement, require
from models.pix_limit.types import PixLimits
from models.pix_withdrawal import messages, queries
from models.pix_withdrawal.advance import advance, changed, hold, log, payout_of, write
from models.pix_withdrawal.rules import WAITING
from models.pix_withdrawal.states import PixWithdrawalStatus
from models.pix_withdrawal.tables import pix_withdrawals
from models.pix_withdrawal.types import PixWithdrawalInput, Step
from models.secret_box import SecretBox
from models.user import writes as users


async def accept(
    conn: AsyncConnection,
    *,
    box: SecretBox,
    withdrawal_id: str,
    user_id: str,
    bank_data_id: str | None,
    amount_centavos: int,
    pix_limits: PixLimits,
    new_key: NewKeyRule,
    terms: Terms,
    waits: Waits,
    now: datetime,
) -> list[int]:
    """Row, hold, payout order and the workflow's start, in the caller's one transaction.

    :param bank_data_id: where the reais go; None: to the user's primary.
    :returns: the outbox rows to deliver after the commit.
    :raises LimitExceeded: too little, or more than is left of the user's day.
    :raises NotFound: the bank data is not this user's.
    :raises DocumentMissing: nobody has verified who the user is.
    :raises NotTheHolder: the bank data is not the user's own account.
    :raises KeyTooNew: the PIX key is too new for the amount.
    :raises InsufficientFunds: the available balance is smaller than the amount.
    """
    # Requests of one user wait here for each other, or each would see the limits as if it were alone.
    await users.lock(conn, user_id)
    used = await limits.withdrawn(conn, user_id, pix_limits, now)
    require(Movement.WITHDRAWAL, amount_centavos, used, pix_limits)
    paid_to = await bank_data.require(
        conn,
        box,
        user_id=user_id,
        bank_data_id=bank_data_id,
        amount_centavos=amount_centavos,
        rule=new_key,
        now=now,
    )
    status = PixWithdrawalStatus.PAYING_OUT
    morning = not_before(now, amount_centavos, terms.night)
    await conn.execute(
        insert(pix_withdrawals).values(
            id=withdrawal_id,
            user_id=user_id,
            bank_data_id=paid_to,
            amount_centavos=amount_centavos,
            provider=terms.provider,
            status=status,
            deadline_at=(morning or now) + timedelta(seconds=terms.payout_deadline_seconds),
            created_at=now,
        )
    )
    await log(conn, withdrawal_id, 1, None, Step(status), actor=user_id)
    await tell(conn, changed(user_id, withdrawal_id, amount_centavos, Step(status), 1))
    await post(conn, hold(withdrawal_id, user_id, amount_centavos))
    await payouts.order(
        conn,
        key=withdrawal_id,
        withdrawal_id=withdrawal_id,
        provider=terms.provider,
        amount_centavos=amount_centavos,
        bank_data_id=paid_to,
        not_before=morning,
    )
    order = PixWithdrawalInput(withdrawal_id, terms, waits)
    return await put(conn, messages.start(order, user_id=user_id, status=status, amount_centavos=amount_centavos))


async def attest(conn: AsyncConnection, withdrawal_id: str, word: Attestation, *, now: datetime) -> list[int]:
    """An operator's evidence about a payout whose provider cannot be asked; outbox rows. Harmless to repeat.

    That it was never paid can be said only after the deadline, and not while it may just be on its way to the bank.
    :raises IllegalTransition: the withdrawal waits for no such word; the detail says why.
    """
    found = await queries.withdrawal(conn, withdrawal_id, lock=True)
    payout = await payout_of(conn, withdrawal_id)
    status = PayoutStatus.PAID if word.paid else PayoutStatus.REJECTED
    if payout.status is not status:
        if found.status not in WAITING:
            raise IllegalTransition(f"a withdrawal that is {found.status} waits for no payout")
        if not word.paid and found.status is not PixWithdrawalStatus.NEEDS_REVIEW:
            raise IllegalTransition(
                "the provider's time is not over: say that it was not paid once this is in review"
            )
        evidence: dict[str, JsonValue] = {"actor": word.actor, "evidence": word.evidence}
        report = Report(
            status, end_to_end_id=word.end_to_end_id, reason=None if word.paid else "attested_by_operator"
        )
        await payouts.attest(conn, payout, report, evidence=evidence)
        note = Step(found.status, f"payout_attested_{status}")
        await write(conn, found, note, actor=word.actor, details={"evidence": word.evidence})
    await advance(conn, withdrawal_id, now=now)
    return await put(conn, look(messages.workflow_id(withdrawal_id)), look(f"payout/{withdrawal_id}"))
