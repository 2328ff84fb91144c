"""Every state, and every coded reason that the books can give, has words; and no words are left over."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.stories import PURCHASES, REASONS, REVIEWS, STORIES, story_of
from models.instant_trade.buy_effects import LOCKS as BUY_LOCKS
from models.instant_trade.effects import LOCKS as SELL_LOCKS
from models.instant_trade.states import TradeStatus
from models.quote.types import Side
from models.receipt.rules import RefundReason
from tests.properties.test_purchase_rules import MINE, NOW, PURCHASE, combinations, decide
from tests.properties.test_trade_rules import TRADE

BOOKS = Path(__file__).parents[2] / "models" / "instant_trade"
FIGURES = {"amount": "0.1", "asset": "ETH", "network": "ethereum", "address": "0x1", "total": "150.00"}
SALE_ONLY = {TradeStatus.AWAITING_DEPOSIT, TradeStatus.TRANSFERRING, TradeStatus.CONFIRMING, TradeStatus.PAYING_OUT}


def steps() -> Iterator[tuple[bool, str]]:
    """Each reason that stands in a ``Step(...)`` of the books, and whether the step leads to review."""
    for path in sorted(BOOKS.glob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Step":
                state = ast.unparse(call.args[0])
                for part in ast.walk(call.args[1]) if len(call.args) > 1 else ():
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield state.endswith("NEEDS_REVIEW"), part.value


def decided() -> set[str]:
    """Each reason that the rules of a purchase give for some combination of facts."""
    found = (decide(trade, facts, NOW) for trade, facts in combinations())
    return {step.reason for step in found if step is not None and step.reason is not None}


class TestReasons:
    def test_are_the_books_and_no_others(self) -> None:
        used = {reason for _, reason in steps()} | decided() | {str(reason) for reason in RefundReason}

        assert used == set(REASONS)

    def test_of_a_review_say_what_an_operator_can_do(self) -> None:
        assert {reason for is_review, reason in steps() if is_review} == set(REVIEWS)


class TestStories:
    @pytest.mark.parametrize("status", list(TradeStatus))
    @pytest.mark.parametrize("side", list(Side))
    def test_fill_in_their_figures(self, side: Side, status: TradeStatus) -> None:
        base = TRADE if side is Side.SELL else PURCHASE
        for reason in (None, *REVIEWS):
            story = story_of(replace(base, status=status, reason=reason))

            assert "{" not in story.waits_for.format(**FIGURES) + story.then.format(**FIGURES)

    @pytest.mark.parametrize("status", sorted(set(MINE) - {TradeStatus.NEEDS_REVIEW}))
    def test_of_a_purchase_name_the_lock_that_binds_it(self, status: TradeStatus) -> None:
        story = story_of(replace(PURCHASE, status=status))

        assert BUY_LOCKS.get(status, set()) == ({story.lock} if story.lock else set())

    def test_of_a_purchase_speak_of_no_deposit(self) -> None:
        for status in set(MINE) - {TradeStatus.NEEDS_REVIEW}:
            story = story_of(replace(PURCHASE, status=status))

            assert "deposit" not in (story.waits_for + story.then).lower(), status
            assert "refund address" not in story.then, status

    def test_differ_only_where_a_purchase_can_be(self) -> None:
        assert set(PURCHASES) <= set(MINE)
        assert set(STORIES) == set(TradeStatus)
        assert not SALE_ONLY & set(MINE)
        assert SALE_ONLY <= set(SELL_LOCKS)
