"""Who may do what with a dispute, and what its clock demands. Pure: no database, and the clock is a parameter."""

from collections.abc import Iterable
from datetime import datetime

from models.errors import Forbidden, IllegalTransition
from models.p2p_dispute.states import ENDED, UNDECIDED, P2PDisputeStatus
from models.p2p_dispute.types import APPEAL_ROUND, HELD_GOOD, P2PDispute, Ruling, Step
from models.p2p_trade.types import P2PTrade, Party

S = P2PDisputeStatus
ALL_BPS = 10_000


def require_outsider(trade: P2PTrade, user_id: str) -> None:
    """:raises Forbidden: nobody judges, or reads as a judge, a trade of their own."""
    if user_id in {trade.buyer_id, trade.seller_id, trade.maker_id}:
        raise Forbidden("this is your own trade: other arbiters decide on it")


def require_ruling(trade: P2PTrade, dispute: P2PDispute, rulings: Iterable[Ruling], user_id: str) -> None:
    """Whether this arbiter may rule now.

    :raises Forbidden: a party, or one who had a hand in the ruling that was appealed.
    :raises IllegalTransition: no ruling is asked for.
    """
    require_outsider(trade, user_id)
    if dispute.status not in UNDECIDED:
        raise IllegalTransition(f"the dispute is {dispute.status}: no ruling is asked for")
    _require_fresh(dispute, rulings, user_id)


def require_decision(
    trade: P2PTrade, dispute: P2PDispute, rulings: Iterable[Ruling], user_id: str, ruling_id: str, *, yes: bool
) -> Ruling:
    """The proposal that this arbiter may approve, or reject. Who proposed it may take it back, and not approve it.

    :raises Forbidden: a party, the proposer of what is to be approved, or one who had a hand in the ruling that was
        appealed.
    :raises IllegalTransition: this proposal does not wait.
    """
    known = tuple(rulings)
    require_outsider(trade, user_id)
    if dispute.status is not S.PROPOSED or dispute.ruling_id != ruling_id:
        raise IllegalTransition(f"the dispute is {dispute.status}: this ruling waits for nobody")
    ruling = next(each for each in known if each.id == ruling_id)
    if yes and ruling.proposed_by == user_id:
        raise Forbidden("another arbiter must approve what you proposed")
    _require_fresh(dispute, known, user_id)
    return ruling


def require_in_time(dispute: P2PDispute, now: datetime) -> None:
    """:raises IllegalTransition: the time for it is over, whether or not anybody has written that down yet."""
    if dispute.deadline_at is not None and now >= dispute.deadline_at:
        raise IllegalTransition(f"it had to be done until {dispute.deadline_at.isoformat()}")


def require_open_window(dispute: P2PDispute, now: datetime) -> None:
    """:raises IllegalTransition: there is no first ruling to accept or appeal, or its window is over."""
    if dispute.status is not S.RULED:
        raise IllegalTransition(f"the dispute is {dispute.status}: there is no ruling to accept or to appeal")
    require_in_time(dispute, now)


def require_live(dispute: P2PDispute) -> None:
    """:raises IllegalTransition: it is over."""
    if dispute.status in ENDED:
        raise IllegalTransition(f"the dispute is {dispute.status}")


def has_accepted(dispute: P2PDispute, party: Party) -> bool:
    accepted = dispute.buyer_accepted_at if party is Party.BUYER else dispute.seller_accepted_at
    return accepted is not None


def before_proposal(dispute: P2PDispute) -> P2PDisputeStatus:
    """Where a proposal that came to nothing leads back to."""
    return S.APPEALED if dispute.round == APPEAL_ROUND else S.OPEN


def conceded_bps(party: Party) -> int:
    """The buyer's part if this party gives in."""
    return 0 if party is Party.BUYER else ALL_BPS


def due(dispute: P2PDispute, now: datetime, *, trade_is_over: bool) -> Step | None:
    """The one step that the clock, or the trade's own end, demands."""
    if dispute.status in ENDED:
        return None
    if trade_is_over:
        return Step.ENDED_WITH_TRADE
    is_late = dispute.deadline_at is not None and now >= dispute.deadline_at
    if dispute.status is S.PROPOSED and is_late:
        return Step.PROPOSAL_EXPIRED
    if dispute.status is S.RULED and is_late:
        return Step.CLOSED
    return None


def _require_fresh(dispute: P2PDispute, rulings: Iterable[Ruling], user_id: str) -> None:
    if dispute.round != APPEAL_ROUND:
        return
    hands = {who for each in rulings if each.round < dispute.round and each.fate in HELD_GOOD for who in _hands(each)}
    if user_id in hands:
        raise Forbidden("you had a hand in the ruling that was appealed: other arbiters decide on it")


def _hands(ruling: Ruling) -> set[str | None]:
    return {ruling.proposed_by, ruling.decided_by}
