"""The laws that must always hold, each a small read of the books that names every row that breaks it.

They run in tests after each scenario, in chaos runs, and every hour in production. Each law is one statement,
so it sees one moment of the database however busy that is.
"""

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from liquida.checks import (
    balances_add_up,
    claims_are_covered,
    held_has_owner,
    history_is_whole,
    keys_agree,
    no_negative,
    no_trade_outlives_its_lock,
    nonces_have_no_gaps,
    outcome_is_one,
    p2p_disputes_agree,
    p2p_trades_are_booked,
)

Law = Callable[[AsyncConnection], Awaitable[list[str]]]

LAWS: dict[str, Law] = {
    "balances_add_up": balances_add_up.violations,
    "no_negative": no_negative.violations,
    "held_has_owner": held_has_owner.violations,
    "outcome_is_one": outcome_is_one.violations,
    "no_trade_outlives_its_lock": no_trade_outlives_its_lock.violations,
    "nonces_have_no_gaps": nonces_have_no_gaps.violations,
    "history_is_whole": history_is_whole.violations,
    "keys_agree": keys_agree.violations,
    "claims_are_covered": claims_are_covered.violations,
    "p2p_disputes_agree": p2p_disputes_agree.violations,
    "p2p_trades_are_booked": p2p_trades_are_booked.violations,
}


async def check_all(conn: AsyncConnection) -> dict[str, list[str]]:
    """The laws that do not hold now, each with its violations; empty when all is well."""
    found = {name: await law(conn) for name, law in LAWS.items()}
    return {name: violations for name, violations in found.items() if violations}
