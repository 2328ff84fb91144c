"""Who a user is."""

from datetime import datetime
from enum import StrEnum

from pydantic.dataclasses import dataclass

CPF_LENGTH = 11


class DocumentKind(StrEnum):
    CPF = "cpf"
    CNPJ = "cnpj"

    @classmethod
    def of(cls, tax_id: str) -> "DocumentKind":
        """Of a valid, bare tax id."""
        return cls.CPF if len(tax_id) == CPF_LENGTH else cls.CNPJ


class Change(StrEnum):
    """``REPLACED``: by another document, or by another spelling of the name."""

    VERIFIED = "verified"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Holder:
    """A person or a company as the document says: opened where money moves, and nowhere else.

    ``tax_id``: bare, as :func:`payments.pix_key.parse_tax_id` reads it.
    """

    tax_id: str
    name: str

    def __repr__(self) -> str:
        return "Holder(...)"


@dataclass(frozen=True, slots=True)
class Document:
    """As shown. ``verified_by``: the operator's user id."""

    kind: DocumentKind
    tax_id_masked: str
    verified_at: datetime
    verified_by: str


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """One line of the append-only history."""

    kind: DocumentKind
    tax_id_masked: str
    change: Change
    evidence: str
    verified_by: str
    at: datetime
