"""Seal and keep where a user is paid."""

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.bank_data.tables import user_bank_data
from models.bank_data.types import BankData, Payee
from models.errors import NotFound
from models.ids import new_id
from models.secret_box import SecretBox

_B = user_bank_data.c
_SHOWN = (_B.id, _B.pix_key_kind, _B.pix_key_masked, _B.created_at)


def _place(row_id: str, column: str) -> str:
    return f"user_bank_data/{row_id}/{column}"


async def add(conn: AsyncConnection, box: SecretBox, *, user_id: str, payee: Payee, masked: str) -> BankData:
    """Keep a payee; the same PIX key again finds the row it made first."""
    fingerprint = box.fingerprint(payee.pix_key)
    known = select(*_SHOWN).where(
        _B.user_id == user_id, _B.pix_key_fingerprint == fingerprint, _B.removed_at.is_(None)
    )
    row = (await conn.execute(known)).first()
    if row is None:
        row_id = new_id()
        values = {
            "id": row_id,
            "user_id": user_id,
            "pix_key_kind": payee.pix_key_kind,
            "pix_key_sealed": box.seal(payee.pix_key, place=_place(row_id, "pix_key")),
            "pix_key_fingerprint": fingerprint,
            "pix_key_masked": masked,
            "holder_name_sealed": box.seal(payee.holder_name, place=_place(row_id, "holder_name")),
            "tax_id_sealed": box.seal(payee.holder_tax_id, place=_place(row_id, "tax_id")),
        }
        fresh = insert(user_bank_data).values(values).on_conflict_do_nothing().returning(*_SHOWN)
        row = (await conn.execute(fresh)).first() or (await conn.execute(known)).one()
    return BankData(**row._mapping)


async def of_user(conn: AsyncConnection, user_id: str) -> list[BankData]:
    statement = select(*_SHOWN).where(_B.user_id == user_id, _B.removed_at.is_(None)).order_by(_B.created_at)
    return [BankData(**row._mapping) for row in await conn.execute(statement)]


async def require(conn: AsyncConnection, *, bank_data_id: str, user_id: str) -> None:
    """:raises NotFound: not this user's, or removed."""
    statement = select(_B.id).where(_B.id == bank_data_id, _B.user_id == user_id, _B.removed_at.is_(None))
    if (await conn.execute(statement)).first() is None:
        raise NotFound("you have no bank data with this id; add it first", field="bank_data_id")


async def remove(conn: AsyncConnection, *, bank_data_id: str, user_id: str) -> None:
    """Payouts already ordered still open it; new trades cannot use it."""
    await require(conn, bank_data_id=bank_data_id, user_id=user_id)
    await conn.execute(update(user_bank_data).where(_B.id == bank_data_id).values(removed_at=func.now()))


async def payee(conn: AsyncConnection, box: SecretBox, bank_data_id: str) -> Payee:
    """Open it, for the payment itself."""
    row = (await conn.execute(select(user_bank_data).where(_B.id == bank_data_id))).one()
    return Payee(
        pix_key=box.open(row.pix_key_sealed, place=_place(row.id, "pix_key")),
        pix_key_kind=row.pix_key_kind,
        holder_name=box.open(row.holder_name_sealed, place=_place(row.id, "holder_name")),
        holder_tax_id=box.open(row.tax_id_sealed, place=_place(row.id, "tax_id")),
    )
