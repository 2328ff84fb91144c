"""What Woovi answers, as far as we read it. Fields that we do not use may come, go and change.

Amounts are JSON numbers of centavos, read as whole numbers or not at all.
"""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, AwareDatetime, BaseModel, BeforeValidator, Field

BANK_TIME = ZoneInfo("America/Sao_Paulo")
TAX_ID_LENGTHS = (11, 14)
CENTAVOS_MOST = 10**16
VISIBLE_LEAST = 5
"""A masked CPF shows its first three and last two digits; less proves nothing."""


def _centavos(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("centavos are a number")  # noqa: TRY004 pydantic reads ValueError
    exact = Decimal(value)
    if not (exact.is_finite() and abs(exact) < CENTAVOS_MOST and exact == exact.to_integral_value()):
        raise ValueError("centavos are a whole number, and fewer than a country has")
    return int(exact)


def _tax_id(value: object) -> object:
    """``"31324227036"`` or ``{"taxID": "31324227036", "type": "BR:CPF"}``: Woovi writes both."""
    return value.get("taxID") if isinstance(value, dict) else value


Centavos = Annotated[int, BeforeValidator(_centavos)]
TaxId = Annotated[str | None, BeforeValidator(_tax_id)]


class Payment(BaseModel):
    key: str = Field(alias="correlationID")
    value: Centavos
    status: str
    alias: str | None = Field(default=None, alias="destinationAlias")


class PaymentTransaction(BaseModel):
    end_to_end_id: str | None = Field(default=None, alias="endToEndId")
    rejected_reason: str | None = Field(default=None, alias="providerRejectedReason")
    error_code: str | None = Field(default=None, alias="providerErrorCode")


class Destination(BaseModel):
    tax_id: TaxId = Field(default=None, alias="taxID")


class PaymentAnswer(BaseModel):
    """Of create, approve and look-up alike. ``transaction`` and ``destination`` come once approved."""

    payment: Payment
    transaction: PaymentTransaction | None = None
    destination: Destination | None = None


class KeyCheck(BaseModel):
    """DICT's entry. ``end_to_end_id`` goes with the payment, so that it counts as one look-up."""

    end_to_end_id: str = Field(alias="pixKeyEndToEndId")
    owner: Destination


class AccountBalance(BaseModel):
    available: Centavos


class Account(BaseModel):
    is_default: bool = Field(alias="isDefault")
    balance: AccountBalance


class Accounts(BaseModel):
    accounts: list[Account]


class StatementEntry(BaseModel):
    """``value`` is without sign; ``type`` has it."""

    id: str
    time: AwareDatetime
    value: Annotated[Centavos, Field(ge=0)]
    type: Literal["CREDIT", "DEBIT"]
    transaction_id: str | None = Field(default=None, alias="transactionId")


class ChargeName(BaseModel):
    key: str = Field(alias="correlationID")


class Payer(BaseModel):
    tax_id: TaxId = Field(default=None, alias="taxID")


class Transaction(BaseModel):
    """A PIX in either direction. The published schema has swapped ``type`` and ``status``; the samples have not."""

    end_to_end_id: str | None = Field(default=None, validation_alias=AliasChoices("endToEndId", "endToEndID"))
    value: Centavos | None = None
    time: AwareDatetime | None = None
    type: str | None = None
    status: str | None = None
    global_id: str | None = Field(default=None, alias="globalID")
    charge: ChargeName | None = None
    payer: Payer | None = None

    @property
    def marks(self) -> set[str]:
        return {mark.upper() for mark in (self.type, self.status) if mark}


class TransactionAnswer(BaseModel):
    transaction: Transaction


class PageInfo(BaseModel):
    has_next: bool = Field(alias="hasNextPage")


class TransactionPage(BaseModel):
    transactions: list[Transaction]
    page: PageInfo = Field(alias="pageInfo")


class Charge(BaseModel):
    key: str = Field(alias="correlationID")
    value: Centavos
    status: str
    br_code: str | None = Field(default=None, alias="brCode")
    txid: str | None = Field(default=None, alias="transactionID")


class ChargeAnswer(BaseModel):
    charge: Charge


class Refund(BaseModel):
    """``status`` is missing in the published look-up sample: then the refund is under way."""

    key: str = Field(alias="correlationID")
    value: Centavos
    status: str = ""
    return_id: str | None = Field(default=None, alias="returnIdentification")


class RefundAnswer(BaseModel):
    """Under ``refund`` when made, under ``pixTransactionRefund`` when looked up."""

    refund: Refund = Field(validation_alias=AliasChoices("refund", "pixTransactionRefund"))


class Dispute(BaseModel):
    """A MED has neither amount nor words; a chargeback's sample has no id."""

    id: str | None = None
    status: str
    end_to_end_id: str = Field(alias="endToEndId")
    value: Annotated[Centavos, Field(gt=0)] | None = None


class DisputeAnswer(BaseModel):
    dispute: Dispute


class StoredFile(BaseModel):
    id: str


class FileAnswer(BaseModel):
    file: StoredFile


class PublicKey(BaseModel):
    key: str


class PublicKeys(BaseModel):
    public_keys: list[PublicKey] = Field(min_length=1)


def bare(text: str) -> str:
    """Without the punctuation of documents; a mask stays."""
    return "".join(each for each in text.upper() if each.isalnum() or each == "*")


def agrees(shown: str | None, ours: str) -> bool | None:
    """Whether a document, maybe masked, is ours. None: it does not show enough to say."""
    text = bare(shown or "")
    if len(text) - text.count("*") < VISIBLE_LEAST:
        return None
    return len(text) == len(bare(ours)) and all(
        theirs in {"*", mine} for theirs, mine in zip(text, bare(ours), strict=True)
    )


def plain_tax_id(shown: str | None) -> str | None:
    """Bare characters, or None where it is masked or no tax id."""
    text = bare(shown or "")
    return text if "*" not in text and len(text) in TAX_ID_LENGTHS else None


def bounds(day: date) -> tuple[datetime, datetime]:
    """Its first moment and the next day's."""
    return (
        datetime.combine(day, time.min, BANK_TIME),
        datetime.combine(day + timedelta(days=1), time.min, BANK_TIME),
    )
