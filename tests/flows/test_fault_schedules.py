"""Five hundred random schedules of faults, over everything that moves reais: sales, purchases, deposits, withdrawals.

A schedule says what is done, by whom it is paid, and how the bank misbehaves meanwhile. It is drawn from a seed, so a
failure names the schedule that failed; how the schedules interleave is the machine's. Each must end as its facts demand,
and in the end every law holds and ledger, chain and bank agree to the unit: no PIX sent twice, none lost.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from payments.sandbox.moods import Mood
from tests.desk import ETHER, Desk, Person
from tests.people import cpf

SEED = int(os.environ.get("LIQUIDA_FAULTS_SEED", "20261121"))
SCHEDULES = int(os.environ.get("LIQUIDA_FAULTS", "500"))
AT_ONCE = 18
STRANGER = cpf(999_997)
DEPOSITS, WITHDRAWALS = "/api/v1/wallet/pix/deposits", "/api/v1/wallet/pix/withdrawals"
TRADES = "/api/v1/instant-trade"

FATES = ("rejected", "refused", "returned")
"""Moods that decide how a payout ends. The others only make it harder to know."""
DOUBTS = (
    "error_504_after_accepting",
    "drop_connection_after_accepting",
    "error_500_before_accepting",
    "no_balance",
    "limit_reached",
    "webhook_never",
    "webhook_duplicate",
    "webhook_before_response",
    "webhook_out_of_order",
    "webhook_stale",
    "webhook_forged",
)
OF_CHARGES = (Mood.ERROR_504_AFTER_ACCEPTING, Mood.DROP_CONNECTION_AFTER_ACCEPTING, Mood.ERROR_500_BEFORE_ACCEPTING)
OF_REFUNDS = (*OF_CHARGES, Mood.NO_BALANCE, Mood.WEBHOOK_NEVER, Mood.WEBHOOK_DUPLICATE, Mood.WEBHOOK_FORGED)
OF_RECEIPTS = (Mood.WEBHOOK_NEVER, Mood.WEBHOOK_DUPLICATE, Mood.WEBHOOK_STALE, Mood.WEBHOOK_FORGED)
RECEIPTS_END = {"credited", "refunded", "taken_back"}


@dataclass(frozen=True)
class Payment:
    """One PIX on a charge. ``fate``: what becomes of one that the bank blocks."""

    payer: str
    cents_more: int
    moods: tuple[Mood, ...]
    fate: str

    @property
    def is_right(self) -> bool:
        return self.payer == "self" and self.cents_more == 0 and self.fate != "taken_back"


@dataclass(frozen=True)
class Schedule:
    """``tag``: the payee's moods. ``payments``: in this order. ``charge_mood``, ``refund_mood``: for the next of each."""

    number: int
    kind: str
    tag: str
    payments: tuple[Payment, ...] = ()
    charge_mood: Mood | None = None
    refund_mood: Mood | None = None


def drawn(number: int) -> Schedule:
    """The schedule of this number, always the same."""
    dice = random.Random(SEED * 100_003 + number)
    kind = ("sell", "buy", "deposit", "withdrawal")[number % 4]
    if kind in {"sell", "withdrawal"}:
        fate = [dice.choice(FATES)] if dice.random() < 0.4 else []
        doubts = [dice.choice(DOUBTS)] if dice.random() < 0.8 else []
        return Schedule(number, kind, ".".join(sorted({*fate, *doubts})))
    payments = tuple(_payment(dice) for _ in range(dice.choice((1, 1, 2, 2, 3))))
    if dice.random() < 0.6 and not any(payment.is_right for payment in payments):
        payments = (*payments, Payment("self", 0, (), ""))
    charge_mood = dice.choice((None, None, *OF_CHARGES))
    return Schedule(number, kind, "", payments, charge_mood, dice.choice((None, *OF_REFUNDS)))


def _payment(dice: random.Random) -> Payment:
    payer = dice.choice(("self", "self", "self", "stranger", "nobody"))
    cents_more = dice.choice((0, 0, 0, 0, -1, 1, 700))
    moods = (dice.choice(OF_RECEIPTS),) if dice.random() < 0.4 else ()
    fate = dice.choice(("released", "taken_back")) if dice.random() < 0.15 else ""
    return Payment(payer, cents_more, (*moods, Mood.BLOCKED) if fate else moods, fate)


class Stage:
    """Who the schedules are played with, and how they ended."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.endings: Counter[str] = Counter()
        self._people: dict[str, asyncio.Task[Person]] = {}

    async def person(self, schedule: Schedule) -> Person:
        """One for each tag and kind, made when first needed."""
        name = f"{schedule.kind} {schedule.tag or schedule.number % 16}"
        if name not in self._people:
            self._people[name] = asyncio.create_task(self._made(schedule))
        return await self._people[name]

    async def _made(self, schedule: Schedule) -> Person:
        """With coins to sell, or reais to withdraw, for all the schedules that share this person."""
        person = await self.desk.person(schedule.tag)
        if schedule.kind == "sell":
            await self.desk.send(person.address, ETHER // 4)
            await self._wait(lambda: self._has_coins(person), "the coins to be credited")
        if schedule.kind == "withdrawal":
            deposit = await self._charge(person, DEPOSITS, {"amount": "400.00"})
            await asyncio.to_thread(self.desk.bank.pay, deposit["id"])
            await self._until(person, f"{DEPOSITS}/{deposit['id']}", {"completed"})
        return person

    async def _has_coins(self, person: Person) -> bool:
        return await self.desk.available(person) > 0

    async def _wait(self, holds: Callable[[], Awaitable[bool]], what: str, say: Callable[[], str] = str) -> None:
        """Look now and then: many schedules that look all the time would leave no time to the work."""
        give_up = time.monotonic() + 400
        while not await holds():
            assert time.monotonic() < give_up, f"in vain for {what}: {say()}"
            await asyncio.sleep(1)

    async def play(self, schedule: Schedule) -> None:
        plays: dict[str, Callable[[Schedule, Person], Awaitable[str]]] = {
            "sell": self._sell,
            "buy": self._buy,
            "deposit": self._deposit,
            "withdrawal": self._withdraw,
        }
        try:
            async with asyncio.timeout(500):
                ending = await plays[schedule.kind](schedule, await self.person(schedule))
        except (AssertionError, TimeoutError) as fault:
            raise AssertionError(f"{schedule}: {fault}") from fault
        self.endings[f"{schedule.kind}: {ending}"] += 1

    async def _sell(self, schedule: Schedule, person: Person) -> str:
        trade = await self.desk.sell(person, "0.002")
        wanted = {"completed"}
        if {"rejected", "refused"} & set(schedule.tag.split(".")):
            wanted = {"refunded"}
        elif "returned" in schedule.tag:
            wanted = {"needs_review"}
        ended = await self._until(person, f"{TRADES}/{trade['id']}", wanted)
        return str(ended["status"])

    async def _withdraw(self, schedule: Schedule, person: Person) -> str:
        body = {"amount": "10.00", "bank_data_id": person.bank_data_id}
        withdrawal = await self.desk.post(person, WITHDRAWALS, body)
        wanted = {"refunded"} if set(FATES) & set(schedule.tag.split(".")) else {"completed"}
        ended = await self._until(person, f"{WITHDRAWALS}/{withdrawal['id']}", wanted)
        return str(ended["status"])

    async def _deposit(self, schedule: Schedule, person: Person) -> str:
        self._spoil(schedule)
        deposit = await self._charge(person, DEPOSITS, {"amount": "20.00"})
        receipts = await self._pay(schedule, person, f"{DEPOSITS}/{deposit['id']}", deposit["id"], 2_000)
        return " ".join(sorted(receipts)) or "nothing came"

    async def _buy(self, schedule: Schedule, person: Person) -> str:
        self._spoil(schedule)
        order = {"operation": "buy", "asset": "ETH", "network": "ethereum", "pay_brl": "20.00"}
        order["delivery_address"] = self.desk.fresh_address()
        quote = await self.desk.post(person, f"{TRADES}/quote", order)
        trade = await self._charge(person, f"{TRADES}/create", {"quote_id": quote["id"]}, show=TRADES)
        path = f"{TRADES}/{trade['id']}"
        receipts = await self._pay(schedule, person, path, trade["id"], 2_000)
        if "credited" in receipts:
            return str((await self._until(person, path, {"completed"}))["status"])
        return f"awaiting after {' '.join(sorted(receipts)) or 'nothing'}"

    def _spoil(self, schedule: Schedule) -> None:
        if schedule.charge_mood is not None:
            self.desk.bank.set_moods(schedule.charge_mood, for_="charges")
        if schedule.refund_mood is not None:
            self.desk.bank.set_moods(schedule.refund_mood, for_="refunds")

    async def _charge(self, person: Person, path: str, body: Any, *, show: str = "") -> Any:
        """Ask for a charge, and wait until it can be paid."""
        made = await self.desk.post(person, path, body)
        seen: dict[str, Any] = {}

        async def payable() -> bool:
            seen.update(await self.desk.get(person, f"{show or path}/{made['id']}"))
            return seen["payment"]["br_code"] is not None

        await self._wait(payable, "a BR Code", lambda: str(seen))
        return made

    async def _pay(self, schedule: Schedule, person: Person, path: str, key: str, centavos: int) -> list[str]:
        """Make the payments, one after the other, and wait until each has come to its end; the ends."""
        for payment in schedule.payments:
            payer = {"self": {}, "stranger": {"payer_tax_id": STRANGER}, "nobody": {"payer_tax_id": None}}
            how: dict[str, Any] = {"amount_centavos": centavos + payment.cents_more, "moods": payment.moods}
            paid = await asyncio.to_thread(self.desk.bank.pay, key, **how, **payer[payment.payer])
            if payment.fate == "released":
                await asyncio.to_thread(self.desk.bank.release, paid["end_to_end_id"])
            elif payment.fate == "taken_back":
                await asyncio.to_thread(self.desk.bank.take_back, paid["end_to_end_id"])
        ends: list[str] = []

        async def settled() -> bool:
            receipts = (await self.desk.get(person, path))["payment"]["receipts"]
            ends[:] = [str(receipt["status"]) for receipt in receipts]
            return len(ends) == len(schedule.payments) and set(ends) <= RECEIPTS_END

        await self._wait(settled, "every receipt to end", lambda: str(ends))
        right = [payment for payment in schedule.payments if payment.is_right]
        assert ends.count("credited") == min(1, len(right)), f"{ends}"
        assert ends.count("taken_back") == sum(payment.fate == "taken_back" for payment in schedule.payments), (
            f"{ends}"
        )
        return ends

    async def _until(self, person: Person, path: str, wanted: set[str]) -> Any:
        seen: dict[str, Any] = {}

        async def reached() -> bool:
            seen.update(await self.desk.get(person, path))
            return seen["status"] in wanted

        await self._wait(reached, f"{wanted}", lambda: str(seen.get("status")))
        return seen


async def darken(desk: Desk) -> None:
    """The bank goes dark for a second, again and again; nobody is told."""
    dice = random.Random(SEED)
    try:
        while True:
            await asyncio.sleep(dice.uniform(5, 9))
            desk.bank.set_moods(Mood.DARK)
            await asyncio.sleep(dice.uniform(0.3, 1.2))
            desk.bank.clear_moods()
    finally:
        desk.bank.clear_moods()


@pytest.mark.timeout(2400)
async def test_whatever_the_bank_does_each_ends_as_its_facts_demand_and_all_books_agree(
    desk: Desk, capsys: pytest.CaptureFixture[str]
):
    stage, gate = Stage(desk), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            await stage.play(drawn(number))

    night = asyncio.create_task(darken(desk))
    try:
        # Each charge stays open for its quarter of an hour: hundreds that look every few seconds would be a load test.
        async with desk.waiting(charge_poll_first_seconds=1, charge_poll_most_seconds=30):
            faults = await asyncio.gather(*(one(number) for number in range(SCHEDULES)), return_exceptions=True)
    finally:
        night.cancel()
        await asyncio.gather(night, return_exceptions=True)

    with capsys.disabled():
        print(f"\n{SCHEDULES} schedules of faults, seed {SEED}:", dict(sorted(stage.endings.items())))
    assert [] == [fault for fault in faults if fault is not None]
    await desk.balanced(seconds=60)


def test_schedules_are_drawn_from_their_seed():
    assert [drawn(number) for number in range(50)] == [drawn(number) for number in range(50)]
    assert {"sell", "buy", "deposit", "withdrawal"} == {drawn(number).kind for number in range(50)}
