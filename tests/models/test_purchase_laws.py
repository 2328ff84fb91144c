"""Of purchases: PostgreSQL refuses what must not be, and each law names what somebody forced into it all the same."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from liquida.checks import LAWS
from models.instant_trade.types import Lock
from models.pix_refund.states import RefundStatus
from models.receipt.types import Payer
from models.transfer.states import TransferStatus
from payments.protocol import StatementLine
from tests.models.buy_world import PAY, WINDOW, BuyWorld

GUARDED = (
    "ledger_postings",
    "ledger_transactions",
    "instant_trades",
    "instant_trade_history",
    "transfer_transactions",
    "trade_outcomes",
    "charges",
    "pix_receipts",
    "pix_refunds",
)
OUTCOME = "INSERT INTO trade_outcomes (trade_id, outcome) VALUES (:trade, :outcome)"
VOID = "UPDATE trade_outcomes SET voided_at = now()"
DELIVERY = (
    "INSERT INTO transfer_transactions (key, purpose, trade_id, network_id, asset_id, from_address_id, to_address,"
    " amount_units) SELECT id || '/again', 'delivery', id, network_id, asset_id, source_address_id, delivery_address,"
    " amount_units FROM instant_trades"
)
REFUND = (
    "INSERT INTO pix_refunds (key, receipt_id, amount_centavos)"
    " SELECT 'f', id, amount_centavos + CAST(:more AS int) FROM pix_receipts"
)


@pytest.fixture
async def world(engine: AsyncEngine) -> BuyWorld:
    return await BuyWorld(engine).begin()


class TestDelivery:
    async def test_needs_an_outcome(self, world: BuyWorld) -> None:
        trade = await world.buy()
        world.pay(trade)
        await world.look(trade)

        with pytest.raises(DBAPIError, match="no live delivery outcome"):
            await world.execute(DELIVERY)

    async def test_of_a_trade_that_is_refunded_is_refused(self, world: BuyWorld) -> None:
        trade = await world.bought()
        await world.reject(f"{trade}/delivery")
        await world.advance(trade)

        with pytest.raises(DBAPIError, match="no live delivery outcome"):
            await world.execute(DELIVERY)

    @pytest.mark.parametrize("came", ["nothing", "too little", "by a stranger", "under a block"])
    async def test_is_no_outcome_of_what_was_not_paid(self, world: BuyWorld, came: str) -> None:
        trade = await world.buy()
        if came != "nothing":
            payer = Payer.OTHER if came == "by a stranger" else Payer.SAME
            world.pay(trade, PAY - (came == "too little"), payer=payer, blocked=came == "under a block")
            await world.look(trade)

        with pytest.raises(DBAPIError, match="was not paid for"):
            await world.execute(OUTCOME, trade=trade, outcome="delivery")

    @pytest.mark.parametrize("status", [T for T in TransferStatus if T not in {"rejected", "failed"}])
    async def test_is_not_voided_while_coins_may_be_outside(self, world: BuyWorld, status: TransferStatus) -> None:
        trade = await world.bought()
        key = f"{trade}/delivery"
        steps = {"signed": world.sign, "mined": world.mine, "final": world.finish}
        if status is TransferStatus.BROADCAST:
            await world.sign(key)
            await world.broadcast(key)
        elif status in steps:
            await steps[status](key)

        assert status is (await world.transfer(key)).status
        with pytest.raises(DBAPIError, match="neither rejected nor failed"):
            await world.execute(VOID)

    async def test_refuses_a_refund_beside_it(self, world: BuyWorld) -> None:
        trade = await world.bought()

        with pytest.raises(DBAPIError, match="one_live"):
            await world.execute(OUTCOME, trade=trade, outcome="refund")
        with pytest.raises(DBAPIError, match="nothing says that it goes back"):
            await world.execute("UPDATE pix_receipts SET status = 'refunding'")


class TestRefund:
    async def test_outcome_is_never_voided(self, world: BuyWorld) -> None:
        trade = await world.bought()
        await world.reject(f"{trade}/delivery")
        await world.advance(trade)

        with pytest.raises(DBAPIError, match="no refund"):
            await world.execute(f"{VOID} WHERE outcome = 'refund'")

    async def test_of_a_payment_that_counts_is_refused(self, world: BuyWorld) -> None:
        trade = await world.buy()
        world.pay(trade)
        await world.look(trade)

        with pytest.raises(DBAPIError, match="is not to be refunded"):
            await world.execute(REFUND, more=0)
        with pytest.raises(DBAPIError, match="nothing says that it goes back"):
            await world.execute("UPDATE pix_receipts SET status = 'refunding'")

    async def test_is_one_at_a_time_and_of_the_whole(self, world: BuyWorld) -> None:
        trade = await world.buy()
        await world.paid(trade, payer=Payer.OTHER)

        with pytest.raises(DBAPIError, match="one_live"):
            await world.execute(REFUND, more=0)
        for more in (-1, 1):
            with pytest.raises(DBAPIError, match="is not to be refunded with"):
                await world.execute(REFUND, more=more)

    @pytest.mark.parametrize("after", [RefundStatus.REFUNDED, RefundStatus.REJECTED])
    async def test_is_over_when_it_has_ended(self, world: BuyWorld, after: RefundStatus) -> None:
        trade = await world.buy()
        await world.paid(trade, payer=Payer.OTHER)
        await world.end_refunds(trade, after)

        with pytest.raises(DBAPIError, match=r"is not to be refunded with|one_live"):
            await world.execute(REFUND, more=0)
        for status in set(RefundStatus) - {after}:
            with pytest.raises(DBAPIError, match="pix_refund cannot go"):
                await world.execute("UPDATE pix_refunds SET status = :status", status=str(status))


class TestRows:
    @pytest.mark.parametrize(
        ("table", "change"),
        [
            ("charges", "key = 'other'"),
            ("charges", "amount_centavos = amount_centavos + 1"),
            (
                "charges",
                "expires_at = expires_at + interval '1 second', accepts_until = accepts_until + interval '1 s'",
            ),
            ("charges", "accepts_until = accepts_until + interval '1 second'"),
            ("charges", "watched_until = watched_until + interval '1 second'"),
            ("charges", "window_seconds = window_seconds + 1"),
            ("charges", "window_seconds = NULL"),
            ("charges", "provider = 'other'"),
            ("charges", "trade_id = NULL"),
            ("pix_receipts", "payer = 'same'"),
            ("pix_receipts", "amount_centavos = amount_centavos + 1"),
            ("pix_receipts", "received_at = received_at - interval '1 second'"),
            ("pix_receipts", "end_to_end_id = 'other'"),
            ("pix_receipts", "provider = 'other'"),
            ("pix_refunds", "amount_centavos = amount_centavos - 1"),
            ("pix_refunds", "key = 'other'"),
        ],
    )
    async def test_keep_what_was_ordered_and_what_came(self, world: BuyWorld, table: str, change: str) -> None:
        await world.paid(await world.buy(), payer=Payer.OTHER)

        with pytest.raises(DBAPIError, match="what was ordered does not change"):
            await world.execute(f"UPDATE {table} SET {change}")

    @pytest.mark.parametrize("table", ["charges", "pix_receipts", "pix_refunds"])
    async def test_are_never_deleted(self, world: BuyWorld, table: str) -> None:
        await world.paid(await world.buy(), payer=Payer.OTHER)

        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(DBAPIError, match="permission denied"):
                await world.execute(statement)
            with pytest.raises(DBAPIError, match="append-only"):
                await world.execute_as_owner(statement)

    @pytest.mark.parametrize("payer", ["other", "unknown"])
    async def test_credit_no_strangers_reais(self, world: BuyWorld, payer: str) -> None:
        trade = await world.buy()
        receipt = (
            "INSERT INTO pix_receipts (id, provider, end_to_end_id, charge_key, user_id, amount_centavos, payer, status)"
            " SELECT 'r', provider, 'E', key, user_id, amount_centavos, :payer, 'credited' FROM charges"
        )

        with pytest.raises(DBAPIError, match="only_the_users_own_reais_pay"):
            await world.execute(receipt, payer=payer)
        assert [] == await world.receipts(trade)

    async def test_credit_one_payment_for_each_charge(self, world: BuyWorld) -> None:
        await world.bought()
        receipt = (
            "INSERT INTO pix_receipts (id, provider, end_to_end_id, charge_key, user_id, amount_centavos, payer, status)"
            " SELECT 'r', provider, 'E', key, user_id, amount_centavos, 'same', 'credited' FROM charges"
        )

        with pytest.raises(DBAPIError, match="one_credited"):
            await world.execute(receipt)


FORGED = [
    (
        "outcome_is_one",
        "has two live outcomes",
        "DROP INDEX uq_trade_outcomes_one_live",
        "INSERT INTO trade_outcomes (trade_id, outcome) SELECT id, 'refund' FROM instant_trades",
    ),
    (
        "outcome_is_one",
        "was credited with two payments",
        "DROP INDEX uq_pix_receipts_one_credited",
        "UPDATE pix_receipts SET status = 'credited', reason = NULL WHERE reason = 'duplicate_payment'",
    ),
    (
        "outcome_is_one",
        "a purchase and its undoing that do not agree",
        "UPDATE trade_outcomes SET outcome = 'refund' WHERE outcome = 'delivery'",
    ),
    (
        "outcome_is_one",
        "is delivered and was never booked as bought",
        "UPDATE ledger_transactions SET key = 'x' || key WHERE kind = 'buy'",
    ),
    (
        "outcome_is_one",
        "has a delivery that nobody bought",
        "UPDATE ledger_transactions SET key = 'x' || key WHERE kind = 'buy'",
        "UPDATE trade_outcomes SET voided_at = now() WHERE outcome = 'delivery'",
    ),
    ("outcome_is_one", "has a delivery and no live outcome", "UPDATE trade_outcomes SET voided_at = now()"),
    (
        "outcome_is_one",
        "is booked as delivered and its delivery is broadcast",
        "UPDATE transfer_transactions SET status = 'broadcast' WHERE status = 'final'",
    ),
    (
        "outcome_is_one",
        "holds coins that are not to be delivered",
        "UPDATE instant_trades SET held_units = 1 WHERE status = 'completed'",
    ),
    ("outcome_is_one", "was never delivered", "UPDATE instant_trades SET status = 'completed' WHERE held_units > 0"),
    (
        "outcome_is_one",
        "has no delivery to wait for",
        "UPDATE instant_trades SET status = 'delivering' WHERE status = 'completed'",
    ),
    (
        "outcome_is_one",
        "has no refund as its outcome",
        "UPDATE instant_trades SET status = 'refunded' WHERE status = 'awaiting_payment'",
    ),
    (
        "outcome_is_one",
        "has an outcome too early",
        "UPDATE instant_trades SET status = 'expired' WHERE status = 'refunding'",
    ),
    (
        "outcome_is_one",
        "has ended with a payment on its way back",
        "UPDATE instant_trades SET status = 'refunded' WHERE status = 'refunding'",
        "UPDATE pix_receipts SET created_at = created_at - interval '1 hour' WHERE status = 'refunding'",
    ),
    ("keys_agree", "is not what the trade says", "UPDATE charges SET amount_centavos = amount_centavos + 1"),
    ("keys_agree", "is of the charge", "UPDATE pix_receipts SET provider = 'other'"),
    ("keys_agree", "and the ledger says", "UPDATE pix_receipts SET amount_centavos = amount_centavos + 1"),
    ("keys_agree", "and the ledger says", "UPDATE pix_receipts SET status = 'received' WHERE status = 'blocked'"),
    (
        "keys_agree",
        "and its devolução is missing",
        "UPDATE pix_refunds SET status = 'rejected', submitted_at = now() WHERE status = 'created'",
    ),
    (
        "keys_agree",
        "and its devolução is refunded",
        "UPDATE pix_refunds SET status = 'refunded', submitted_at = now() WHERE status = 'created'",
    ),
    (
        "keys_agree",
        "has a key of another shape",
        "UPDATE transfer_transactions SET purpose = 'custody' WHERE purpose = 'delivery'",
    ),
    (
        "keys_agree",
        "has a key of another shape",
        "UPDATE ledger_transactions SET reference = 'x' WHERE kind = 'receipt'",
    ),
    (
        "keys_agree",
        "has a key of another shape",
        "UPDATE ledger_transactions SET key = 'x' || key WHERE kind = 'buy'",
    ),
    ("held_has_owner", "owned by trades", "UPDATE pix_receipts SET status = 'received' WHERE reason IS NULL"),
    ("held_has_owner", "owned by trades", "UPDATE instant_trades SET held_units = 0 WHERE status = 'delivering'"),
    ("held_has_owner", "owned by trades", "UPDATE trade_outcomes SET voided_at = now() WHERE outcome = 'delivery'"),
    (
        "history_is_whole",
        "begins as delivering",
        "UPDATE instant_trade_history SET new_status = 'delivering' WHERE old_status IS NULL",
    ),
    *(
        ("history_is_whole", f"lacks {noun}", f"DELETE FROM transitions WHERE noun = '{noun}'")
        for noun in ("charge", "receipt", "pix_refund")
    ),
    *(
        (
            "no_trade_outlives_its_lock",
            f"lock {lock} ran out",
            f"UPDATE trade_locks SET expires_at = now() - interval '1 hour' WHERE kind = '{lock}'",
        )
        for lock in (Lock.PAYMENT_WINDOW, Lock.PAYMENT_DEADLINE, Lock.CHAIN_TIMEOUT, Lock.REFUND_DEADLINE)
    ),
    ("no_trade_outlives_its_lock", "waits without a lock", "UPDATE trade_locks SET released_at = now()"),
]


class TestLaws:
    @pytest.fixture
    async def world(self, world: BuyWorld) -> BuyWorld:
        """A purchase in each state that matters; and no guard left."""
        await world.buy()
        unspent = await world.buy()
        world.pay(unspent)
        await world.look(unspent)
        world.pay(blocked := await world.buy(), blocked=True)
        await world.hears(blocked)
        done = await world.bought()
        await world.finish(f"{done}/delivery")
        await world.advance(done)
        await world.paid(done)
        await world.end_refunds(done)
        refunding = await world.bought()
        await world.reject(f"{refunding}/delivery")
        await world.advance(refunding)
        await world.bought()
        for table in GUARDED:
            await world.execute_as_owner(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        return world

    async def test_hold_before_anything_is_forged(self, world: BuyWorld) -> None:
        assert {} == await world.broken_laws()
        assert [] == await world.differences()

    async def test_name_every_forged_row(self, world: BuyWorld) -> None:
        async with world.as_owner() as conn:
            for law, words, *statements in FORGED:
                undo = await conn.begin_nested()
                for statement in statements:
                    result = await conn.execute(text(statement))
                found = await LAWS[law](conn)
                await undo.rollback()

                assert result.rowcount, statements
                assert any(words in violation for violation in found), (law, statements, found)

    @pytest.mark.parametrize("change", ["payment never came", "payment came twice", "refund never left", "stranger"])
    async def test_see_what_the_bank_shows_otherwise(self, world: BuyWorld, change: str) -> None:
        lines = world.bank.lines
        came = next(line for line in lines if line.amount_centavos > 0)
        left = next(line for line in lines if line.amount_centavos < 0)
        world.bank.lines = {
            "payment never came": [line for line in lines if line is not came],
            "payment came twice": [*lines, came],
            "refund never left": [line for line in lines if line is not left],
            "stranger": [*lines, StatementLine("l", "other", None, 1, came.time)],
        }[change]

        found = await world.differences()

        words = {"refund never left": "devolução", "stranger": "moves 1 centavos for nothing of ours"}
        assert any(words.get(change, "has the lines") in difference for difference in found), found
        assert any("the account holds" in difference for difference in found), found


class TestLateness:
    async def test_of_a_payment_after_the_end_breaks_no_law_while_it_goes_back(self, world: BuyWorld) -> None:
        trade = await world.buy()
        world.pass_time(WINDOW)
        await world.hears(trade)
        for number, payer in enumerate((Payer.SAME, Payer.OTHER)):
            world.pay(trade, payer=payer, at=world.now + timedelta(hours=number))
        await world.hears(trade)

        assert {} == await world.broken_laws()
