"""PIX keys and tax ids: read strictly, kept in one spelling, shown only masked.

No error here repeats what was typed: a key is personal data, and errors are logged.
"""

import re

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from validate_docbr import CNPJ, CPF

from models.errors import InvalidInput, InvalidPixKey
from payments.protocol import PixKeyKind

TEXT_LENGTH_MAX = 100
EMAIL_LENGTH_MAX = 77

_PUNCTUATION = re.compile(r"[ ./-]")
_CPF = re.compile(r"[0-9]{11}")
_CNPJ = re.compile(r"[0-9A-Z]{12}[0-9]{2}")
_PHONE = re.compile(r"\+?[0-9 ().-]+")
_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9.-]+")
_EVP = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def parse_pix_key(text: str, kind: PixKeyKind) -> str:
    """The key as DICT stores it: bare CPF or CNPJ, ``+55…`` phone, lower-case e-mail or UUID.

    The result parses to itself. Whether the key exists is the provider's to say.

    :raises InvalidPixKey: not a key of this kind.
    Source: Bacen DICT API 2.6.0 (``Key``); alphanumeric CNPJ: IN RFB 2.229/2024.
    """
    readable = text.isascii() and len(text) <= TEXT_LENGTH_MAX
    key = _READERS[kind](text.strip()) if readable else None
    if key is None:
        raise InvalidPixKey(f"pix_key is not a valid {_NAMES[kind]}", field="pix_key")
    return key


def parse_tax_id(text: str) -> str:
    """A CPF (11 digits) or CNPJ (14 characters, upper case) without punctuation.

    :raises InvalidInput: neither, or its check digits are wrong.
    """
    readable = text.isascii() and len(text) <= TEXT_LENGTH_MAX
    tax_id = (_cpf(text.strip()) or _cnpj(text.strip())) if readable else None
    if tax_id is None:
        raise InvalidInput("tax_id is not a valid CPF or CNPJ", field="tax_id")
    return tax_id


def mask_pix_key(key: str, kind: PixKeyKind) -> str:
    """Enough for its owner to recognise the key, too little to pay or to call. Never fails."""
    match kind:
        case PixKeyKind.CPF | PixKeyKind.CNPJ:
            return mask_tax_id(key)
        case PixKeyKind.PHONE:
            return f"+55*******{key[-4:]}" if re.fullmatch(r"\+55[0-9]{10,11}", key) else "***"
        case PixKeyKind.EMAIL:
            local, at, domain = key.rpartition("@")
            return f"{local[0]}***@{domain}" if local and at else "***"
        case PixKeyKind.EVP:
            return f"********-****-****-****-********{key[-4:]}" if len(key) == 36 else "***"


def mask_tax_id(tax_id: str) -> str:
    """``***.456.789-**`` or ``**.222.333/****-**``: the form Brazilian authorities publish."""
    if len(tax_id) == 11:
        return f"***.{tax_id[3:6]}.{tax_id[6:9]}-**"
    if len(tax_id) == 14:
        return f"**.{tax_id[2:5]}.{tax_id[5:8]}/****-**"
    return "***"


def _cpf(text: str) -> str | None:
    digits = _PUNCTUATION.sub("", text)
    return digits if _CPF.fullmatch(digits) and CPF().validate(digits) else None


def _cnpj(text: str) -> str | None:
    characters = _PUNCTUATION.sub("", text).upper()
    return characters if _CNPJ.fullmatch(characters) and CNPJ().validate(characters) else None


def _phone(text: str) -> str | None:
    # phonenumbers drops a 0 after the country code, and a carrier's code with it: another number.
    if not _PHONE.fullmatch(text) or re.sub(r"[^0-9+]", "", text).startswith("+550"):
        return None
    try:
        number = phonenumbers.parse(text, "BR")
    except phonenumbers.NumberParseException:
        return None
    if number.country_code != 55 or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _email(text: str) -> str | None:
    try:
        email = validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        return None
    return email if len(email) <= EMAIL_LENGTH_MAX and _EMAIL.fullmatch(email) else None


def _evp(text: str) -> str | None:
    uuid = text.lower()
    return uuid if _EVP.fullmatch(uuid) else None


_READERS = {
    PixKeyKind.CPF: _cpf,
    PixKeyKind.CNPJ: _cnpj,
    PixKeyKind.PHONE: _phone,
    PixKeyKind.EMAIL: _email,
    PixKeyKind.EVP: _evp,
}

_NAMES = {
    PixKeyKind.CPF: "CPF",
    PixKeyKind.CNPJ: "CNPJ",
    PixKeyKind.PHONE: "Brazilian phone number",
    PixKeyKind.EMAIL: "e-mail address",
    PixKeyKind.EVP: "random key (UUID)",
}
