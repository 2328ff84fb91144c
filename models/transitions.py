"""Every noun's transition table, in one place for the migration and for the check at each write."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Column, String, Table

from models.base import metadata
from models.charge import states as charge
from models.dispute import states as dispute
from models.errors import IllegalTransition
from models.instant_trade import states as instant_trade
from models.p2p_dispute import states as p2p_dispute
from models.p2p_order import states as p2p_order
from models.p2p_trade import states as p2p_trade
from models.payout import states as payout
from models.pix_refund import states as pix_refund
from models.pix_withdrawal import states as pix_withdrawal
from models.receipt import states as receipt
from models.reconciliation import states as reconciliation
from models.transfer import states as transfer
from models.webhook_delivery import states as webhook_delivery

_State = TypeVar("_State", bound=StrEnum)

transitions = Table(
    "transitions",
    metadata,
    Column("noun", String(32), primary_key=True),
    Column("before", String(32), primary_key=True),
    Column("after", String(32), primary_key=True),
)


def _texts(table: Mapping[_State, AbstractSet[_State]]) -> dict[str, frozenset[str]]:
    return {str(before): frozenset(map(str, following)) for before, following in table.items()}


ALL: dict[str, dict[str, frozenset[str]]] = {
    "instant_trade": _texts(instant_trade.NEXT),
    "transfer": _texts(transfer.NEXT),
    "payout": _texts(payout.NEXT),
    "charge": _texts(charge.NEXT),
    "receipt": _texts(receipt.NEXT),
    "pix_refund": _texts(pix_refund.NEXT),
    "break": _texts(reconciliation.NEXT),
    "pix_withdrawal": _texts(pix_withdrawal.NEXT),
    "dispute": _texts(dispute.NEXT),
    "p2p_dispute": _texts(p2p_dispute.NEXT),
    "p2p_order": _texts(p2p_order.NEXT),
    "p2p_trade": _texts(p2p_trade.NEXT),
    "webhook_delivery": _texts(webhook_delivery.NEXT),
}


def rows() -> list[dict[str, str]]:
    """All allowed steps, as rows of the table ``transitions``."""
    return [
        {"noun": noun, "before": before, "after": after}
        for noun, table in ALL.items()
        for before, following in table.items()
        for after in sorted(following)
    ]


def check(noun: str, before: StrEnum, after: StrEnum) -> None:
    """:raises IllegalTransition: the noun's table has no such step."""
    if after not in ALL[noun][before]:
        raise IllegalTransition(f"{noun} cannot go from {before} to {after}")
