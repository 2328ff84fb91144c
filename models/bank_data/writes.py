"""Seal and keep where a user is paid."""

import hmac
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, case, exists, func, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.assets import BRL
from models.bank_data.tables import user_bank_data
from models.bank_data.types import BankData, NewKeyRule, Payee
from models.document import queries as documents
from models.errors import DocumentMissing, KeyTooNew, NotFound, NotTheHolder
from models.ids import new_id
from models.instant_trade.states import TradeStatus
from models.instant_trade.tables import instant_trades
from models.money import units_text
from models.pix_withdrawal.states import PixWithdrawalStatus
from models.pix_withdrawal.tables import pix_withdrawals
from models.secret_box import SecretBox, tax_id_fingerprint
from models.user import writes as users

_B = user_bank_data.c
_SHOWN = (_B.id, _B.pix_key_kind, _B.pix_key_masked, _B.is_primary, _B.verified_at, _B.created_at)
_UNPAID = (TradeStatus.CANCELLED, TradeStatus.EXPIRED, TradeStatus.REFUNDED)


def _place(row_id: str, column: str) -> str:
    return f"user_bank_data/{row_id}/{column}"


async def add(conn: AsyncConnection, box: SecretBox, *, user_id: str, payee: Payee, masked: str) -> BankData:
    """Keep a payee; the same PIX key again finds the row it made first. A user's first one is the primary."""
    await users.lock(conn, user_id)
    fingerprint = box.fingerprint(payee.pix_key)
    known = select(*_SHOWN).where(_live(user_id), _B.pix_key_fingerprint == fingerprint)
    row = (await conn.execute(known)).first()
    if row is None:
        row_id, tax_id = new_id(), tax_id_fingerprint(box, payee.holder_tax_id)
        primary = exists().where(_live(user_id), _B.is_primary)
        values = {
            "id": row_id,
            "user_id": user_id,
            "pix_key_kind": payee.pix_key_kind,
            "pix_key_sealed": box.seal(payee.pix_key, place=_place(row_id, "pix_key")),
            "pix_key_fingerprint": fingerprint,
            "pix_key_masked": masked,
            "holder_name_sealed": box.seal(payee.holder_name, place=_place(row_id, "holder_name")),
            "tax_id_sealed": box.seal(payee.holder_tax_id, place=_place(row_id, "tax_id")),
            "tax_id_fingerprint": tax_id,
            "is_primary": select(~primary).scalar_subquery(),
            "verified_at": func.now() if await documents.fingerprint_of(conn, user_id) == tax_id else None,
        }
        fresh = insert(user_bank_data).values(values).on_conflict_do_nothing().returning(*_SHOWN)
        row = (await conn.execute(fresh)).first() or (await conn.execute(known)).one()
    return BankData(**row._mapping)


async def of_user(conn: AsyncConnection, user_id: str) -> list[BankData]:
    """Oldest first."""
    statement = select(*_SHOWN).where(_live(user_id)).order_by(_B.created_at, _B.id)
    return [BankData(**row._mapping) for row in await conn.execute(statement)]


async def require(
    conn: AsyncConnection,
    box: SecretBox,
    *,
    user_id: str,
    bank_data_id: str | None,
    amount_centavos: int,
    rule: NewKeyRule,
    now: datetime,
) -> str:
    """The id of the bank data that may receive this amount: the one named, or the user's primary.

    :raises NotFound: not this user's, or removed; or the user has no primary.
    :raises DocumentMissing: no operator has verified the user's document yet.
    :raises NotTheHolder: its holder has another document than the user.
    :raises KeyTooNew: it is younger than ``rule`` asks of the receiver of so much.
    """
    # Whoever is to be paid twice at once is asked one by one; and whoever needs the user's row too takes it first.
    await users.lock(conn, user_id)
    wanted = _B.is_primary if bank_data_id is None else _B.id == bank_data_id
    row = (await conn.execute(select(user_bank_data).where(_live(user_id), wanted))).first()
    if row is None:
        none = "you have no primary bank data; add one, or name one by its id"
        other = "you have no bank data with this id; add it first"
        raise NotFound(none if bank_data_id is None else other, field="bank_data_id")
    document = await documents.fingerprint_of(conn, user_id)
    if document is None:
        raise DocumentMissing(
            f"your document is not verified yet; an operator does that: PUT /api/v1/users/{user_id}/document"
        )
    if not hmac.compare_digest(document, _tax_id_fingerprint(box, row)):
        raise NotTheHolder(
            "the holder's CPF or CNPJ is not the one of your verified document; name a PIX key of your own",
            field="bank_data_id",
        )
    if row.tax_id_fingerprint is None or row.verified_at is None:
        await compare(conn, box, user_id=user_id, fingerprint=document)
    if now < rule.usable_from(row.created_at):
        await _require_little(conn, row, amount_centavos, rule)
    return str(row.id)


async def compare(conn: AsyncConnection, box: SecretBox, *, user_id: str, fingerprint: bytes) -> None:
    """Say of each of the user's bank data whether its holder is the user, whose document has this fingerprint.

    Fills the fingerprints of rows that are older than their column.
    """
    old = select(user_bank_data).where(_live(user_id), _B.tax_id_fingerprint.is_(None))
    for row in (await conn.execute(old)).all():
        filled = _tax_id_fingerprint(box, row)
        await conn.execute(update(user_bank_data).where(_B.id == row.id).values(tax_id_fingerprint=filled))
    since = case((_B.tax_id_fingerprint == fingerprint, func.coalesce(_B.verified_at, func.now())), else_=null())
    await conn.execute(update(user_bank_data).where(_live(user_id)).values(verified_at=since))


async def make_primary(conn: AsyncConnection, *, bank_data_id: str, user_id: str) -> BankData:
    """Trades that name no bank data are paid there from now on.

    :raises NotFound: not this user's, or removed.
    """
    await users.lock(conn, user_id)
    await _find(conn, bank_data_id=bank_data_id, user_id=user_id)
    await conn.execute(update(user_bank_data).where(_live(user_id), _B.is_primary).values(is_primary=False))
    row = await conn.execute(
        update(user_bank_data).where(_B.id == bank_data_id).values(is_primary=True).returning(*_SHOWN)
    )
    return BankData(**row.one()._mapping)


async def remove(conn: AsyncConnection, *, bank_data_id: str, user_id: str) -> None:
    """Payouts already ordered still open it; new trades cannot use it.

    After the primary, the newest of the others is it.
    :raises NotFound: not this user's, or removed before.
    """
    await users.lock(conn, user_id)
    row = await _find(conn, bank_data_id=bank_data_id, user_id=user_id)
    ending = {"removed_at": func.now(), "is_primary": False}
    await conn.execute(update(user_bank_data).where(_B.id == bank_data_id).values(ending))
    if row.is_primary:
        newest = select(_B.id).where(_live(user_id)).order_by(_B.created_at.desc(), _B.id.desc()).limit(1)
        await conn.execute(update(user_bank_data).where(_B.id == newest.scalar_subquery()).values(is_primary=True))


async def payee(conn: AsyncConnection, box: SecretBox, bank_data_id: str) -> Payee:
    """Open it, for the payment itself."""
    row = (await conn.execute(select(user_bank_data).where(_B.id == bank_data_id))).one()
    return Payee(
        pix_key=box.open(row.pix_key_sealed, place=_place(row.id, "pix_key")),
        pix_key_kind=row.pix_key_kind,
        holder_name=box.open(row.holder_name_sealed, place=_place(row.id, "holder_name")),
        holder_tax_id=box.open(row.tax_id_sealed, place=_place(row.id, "tax_id")),
    )


def _live(user_id: str) -> Any:
    return (_B.user_id == user_id) & _B.removed_at.is_(None)


async def _find(conn: AsyncConnection, *, bank_data_id: str, user_id: str) -> Row[Any]:
    """:raises NotFound: not this user's, or removed."""
    statement = select(user_bank_data).where(_live(user_id), _B.id == bank_data_id)
    row: Row[Any] | None = (await conn.execute(statement)).first()
    if row is None:
        raise NotFound("you have no bank data with this id; add it first", field="bank_data_id")
    return row


def _tax_id_fingerprint(box: SecretBox, row: Row[Any]) -> bytes:
    if row.tax_id_fingerprint is not None:
        found: bytes = row.tax_id_fingerprint
        return found
    return tax_id_fingerprint(box, box.open(row.tax_id_sealed, place=_place(row.id, "tax_id")))


async def _require_little(conn: AsyncConnection, row: Row[Any], amount_centavos: int, rule: NewKeyRule) -> None:
    """All that a new key is to receive counts, so that many small trades and withdrawals are no way around the rule.

    :raises KeyTooNew: together it would be too much.
    """
    t, w = instant_trades.c, pix_withdrawals.c
    sold = select(func.coalesce(func.sum(t.total_centavos), 0)).where(
        t.user_id == row.user_id, t.bank_data_id == row.id, t.status.not_in(_UNPAID)
    )
    withdrawn = select(func.coalesce(func.sum(w.amount_centavos), 0)).where(
        w.user_id == row.user_id, w.bank_data_id == row.id, w.status != PixWithdrawalStatus.REFUNDED
    )
    promised = select(sold.scalar_subquery() + withdrawn.scalar_subquery())
    left = rule.most_centavos - int((await conn.execute(promised)).scalar_one())
    if amount_centavos > left:
        until = rule.usable_from(row.created_at).astimezone(UTC).isoformat(timespec="seconds")
        most, rest = (units_text(centavos, BRL.decimals) for centavos in (rule.most_centavos, max(left, 0)))
        raise KeyTooNew(
            f"this PIX key is new: until {until} it may receive R$ {most} in all, of which R$ {rest} are left",
            field="bank_data_id",
        )
