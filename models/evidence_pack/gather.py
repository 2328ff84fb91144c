"""What is known of a disputed trade, told as facts in the order in which they happened.

People are told by their part: buyer, seller, or the arbiters by number in the order in which they appear. What is
sealed in the database is in clear here, and nowhere else.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from models.charge import queries as charges
from models.evidence_pack.chain import Fact, moment
from models.inbound_webhook import queries as webhooks
from models.inbound_webhook.queries import Told
from models.money import units_text
from models.p2p_dispute import queries as disputes
from models.p2p_dispute.types import HELD_GOOD, DisputeLine, P2PDispute
from models.p2p_file import queries as files
from models.p2p_file.types import P2PFile
from models.p2p_message import queries as messages
from models.p2p_trade import queries as trades
from models.p2p_trade.types import P2PTrade
from models.payment_method import queries as methods
from models.secret_box import SecretBox

_SYSTEM = "system"
_SHOWN = ("statement_id", "offer_id", "ruling_id", "buyer_bps")
"""Of a step's details. What one arbiter tells another of a proposal is not for the parties."""


class People:
    """Names for people that say their part in the trade and not who they are."""

    def __init__(self, trade: P2PTrade) -> None:
        self._known = {trade.buyer_id: "buyer", trade.seller_id: "seller", _SYSTEM: _SYSTEM}
        self._arbiters = 0

    def part(self, actor: str | None) -> str:
        if actor is None:
            return _SYSTEM
        if actor not in self._known:
            self._arbiters += 1
            self._known[actor] = f"arbiter {self._arbiters}"
        return self._known[actor]


async def gather(
    conn: AsyncConnection, box: SecretBox, trade: P2PTrade, dispute: P2PDispute
) -> tuple[list[Fact], list[P2PFile]]:
    """The facts in their order, and the files that they name.

    Read it in one snapshot (REPEATABLE READ), or a line and what it speaks of may be of two moments.
    :raises SealBroken: something does not open with this key.
    """
    people = People(trade)
    history = await disputes.history(conn, dispute.id)
    for line in history:
        people.part(line.actor)
    attached = await files.of_trade(conn, trade.id)
    found = [
        _agreed(trade, await _told_to_pay(conn, box, trade)),
        *[
            Fact(
                line.at,
                "trade_step",
                {
                    "version": line.version,
                    "old_status": line.old_status,
                    "new_status": line.new_status,
                    "reason": line.reason,
                    "by": people.part(line.actor),
                },
            )
            for line in await trades.history(conn, trade.id)
        ],
        *[
            Fact(
                each.at,
                "message",
                {
                    "number": each.number,
                    "kind": each.kind,
                    "by": people.part(each.sender_id),
                    "text": each.text,
                    "file_sha256": None if each.file is None else each.file.sha256,
                },
            )
            for each in await messages.everything(conn, box, trade.id)
        ],
        *[_file(each, people) for each in attached],
        *[fact async for fact in _dispute_facts(conn, box, dispute, history, attached, people)],
        *await _bank(conn, box, trade),
    ]
    return sorted(found, key=lambda fact: fact.at), attached


async def _told_to_pay(conn: AsyncConnection, box: SecretBox, trade: P2PTrade) -> JsonValue:
    """Where the buyer was told to pay the seller directly, which is what a direct payment is judged by."""
    if trade.method_id is None:
        return None
    method = await methods.clear(conn, box, trade.method_id)
    return {"kind": str(method.kind), **method.details}


def _agreed(trade: P2PTrade, pay_to: JsonValue) -> Fact:
    return Fact(
        trade.created_at,
        "trade",
        {
            "trade_id": trade.id,
            "reference": trade.reference,
            "order_id": trade.order_id,
            "buyer_id": trade.buyer_id,
            "seller_id": trade.seller_id,
            "maker": "buyer" if trade.maker_id == trade.buyer_id else "seller",
            "asset": trade.asset_id,
            "units": str(trade.units),
            "price": format(trade.price, "f"),
            "total_brl": units_text(trade.total_centavos, 2),
            "fee_units": str(trade.fee_units),
            "fee_payer": trade.fee_payer,
            "settlement": trade.settlement,
            "pay_to": pay_to,
        },
    )


def _file(file: P2PFile, people: People) -> Fact:
    body: dict[str, JsonValue] = {
        "file_id": file.id,
        "by": people.part(file.user_id),
        "media_type": file.media_type,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
    }
    return Fact(file.at, "file", body)


async def _dispute_facts(
    conn: AsyncConnection,
    box: SecretBox,
    dispute: P2PDispute,
    history: Iterable[DisputeLine],
    attached: Iterable[P2PFile],
    people: People,
) -> AsyncIterator[Fact]:
    digests = {file.id: file.sha256 for file in attached}
    for line in history:
        details: dict[str, JsonValue] = {name: line.details[name] for name in _SHOWN if name in line.details}
        yield Fact(
            line.at,
            "dispute_step",
            {
                "version": line.version,
                "step": line.step,
                "old_status": line.old_status,
                "new_status": line.new_status,
                "reason": line.reason,
                "by": people.part(line.actor),
                "details": details,
            },
        )
    for said in await disputes.statements(conn, box, dispute.id):
        yield Fact(
            said.at,
            "statement",
            {
                "statement_id": said.id,
                "by": people.part(said.user_id),
                "text": said.text,
                "files_sha256": [digests[file_id] for file_id in said.file_ids],
            },
        )
    for each in await disputes.offers(conn, dispute.id):
        body: dict[str, JsonValue] = {
            "offer_id": each.id,
            "by": people.part(each.user_id),
            "buyer_bps": each.buyer_bps,
        }
        yield Fact(each.at, "settlement_offer", body)
    for ruling in await disputes.rulings(conn, box, dispute.id):
        if ruling.fate not in HELD_GOOD:
            continue
        yield Fact(
            ruling.at,
            "ruling",
            {
                "ruling_id": ruling.id,
                "round": ruling.round,
                "buyer_bps": ruling.buyer_bps,
                "reason": ruling.reason,
                "text": ruling.text,
                "by": people.part(ruling.proposed_by),
                "needs_second": ruling.needs_second,
                "fate": ruling.fate,
                "decided_by": None if ruling.decided_by is None else people.part(ruling.decided_by),
                "decided_at": None if ruling.decided_at is None else moment(ruling.decided_at),
            },
        )


async def _bank(conn: AsyncConnection, box: SecretBox, trade: P2PTrade) -> list[Fact]:
    """What the provider told of the trade's charge: hints and no facts; the bodies, which name people, by hash."""
    return [
        Fact(
            each.received_at,
            "bank_webhook",
            {
                "provider": each.provider,
                "event_id": each.event_id,
                "state": each.state,
                "body_sha256": hashlib.sha256(each.stored.body(box)).hexdigest(),
            },
        )
        for each in await bank_webhooks(conn, trade)
    ]


async def bank_webhooks(conn: AsyncConnection, trade: P2PTrade) -> list[Told]:
    """About the PIX charge that pays the trade, in the order of arrival; none where no charge does."""
    charge = await charges.charge(conn, trade.id)
    return [] if charge is None else await webhooks.told_of(conn, charge.provider, charge.key)
