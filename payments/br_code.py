"""BR Code: the text behind a PIX QR code ("copia e cola"). Read strictly, written in one way only.

No library on PyPI reads it strictly enough to be paid from, and the format is small: tag (2 digits), length
(2 digits), value, some values holding tags of their own, and a checksum at the end.

Sources: BCB "Manual de Padrões para Iniciação do Pix" 2.10, section 2 (static, dynamic, composite); BCB "Manual do
BR Code"; EMV QRCPS Merchant-Presented Mode 1.1 (tags, lengths, CRC). No error here repeats what was read: a key or
a name is personal data, and errors are logged.
"""

import binascii
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

import segno

from models.errors import InvalidInput

TEXT_LENGTH_MAX = 512
VALUE_LENGTH_MAX = 99
NAME_LENGTH_MAX = 25
CITY_LENGTH_MAX = 15
AMOUNT_CENTAVOS_MAX = 10**12 - 1

GUI = "br.gov.bcb.pix"
NO_TXID = "***"

_PRINTABLE = re.compile(r"[ -~]+")
_HEAD = re.compile(r"[0-9]{4}")
_ACCENTS = re.compile(r"(?<=[A-Za-z])[\u0300-\u036f]+")

_RULES = [
    ("name", rf"[ -~]{{1,{NAME_LENGTH_MAX}}}", f"1 to {NAME_LENGTH_MAX} characters of ASCII"),
    ("city", rf"[ -~]{{1,{CITY_LENGTH_MAX}}}", f"1 to {CITY_LENGTH_MAX} characters of ASCII"),
    ("key", r"[!-~]{1,77}", "1 to 77 characters of ASCII, no spaces"),
    (
        "url",
        r"(?=.{1,77}\Z)(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+/[!-~]+",
        "host and path, no https://, at most 77 characters",
    ),
    ("txid", r"[A-Za-z0-9]{1,25}", "1 to 25 letters and digits"),
    ("description", r"[ -~]+", "1 or more characters of ASCII"),
]

_TAG_RULES = [
    ("00", "01", "the format (tag 00) must be 01"),
    ("01", "|11|12", "the point of initiation (tag 01) must be 11 or 12"),
    ("52", "[0-9]{4}", "the category (tag 52) must be 4 digits"),
    ("53", "986", "the currency (tag 53) must be 986, the real"),
    ("54", r"|(0|[1-9][0-9]{0,9})\.[0-9]{2}", "the amount (tag 54) must be reais with a dot and 2 decimals"),
    ("58", "BR", "the country (tag 58) must be BR"),
]
"""Patterns that begin with ``|`` are of tags that may be missing; none can be empty."""


class BrCodeKind(StrEnum):
    """``STATIC`` holds the receiver's key; ``DYNAMIC`` the address of a charge at the receiver's bank."""

    STATIC = "static"
    DYNAMIC = "dynamic"


@dataclass(frozen=True, slots=True)
class BrCode:
    """What one BR Code says. Whatever can be made here can be written. ``repr`` shows no personal data.

    ``key`` (static): in the spelling of DICT; its kind is not checked here. ``url`` (dynamic): without ``https://``.
    ``amount_centavos`` None: the payer chooses. Of a dynamic code, amount and name bind nobody: the signed charge at
    ``url`` does. ``txid`` and ``description`` (static only) are None where the code has none.

    :raises InvalidInput: a field cannot stand in a BR Code; names the field.
    """

    kind: BrCodeKind
    name: str
    city: str
    key: str | None = None
    url: str | None = None
    amount_centavos: int | None = None
    txid: str | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        required, foreign = _FIELDS[self.kind]
        if getattr(self, required) is None:
            raise InvalidInput(f"{required} is missing in a {self.kind} BR Code", field=required)
        for field in foreign:
            if getattr(self, field) is not None:
                raise InvalidInput(f"{field} has no place in a {self.kind} BR Code", field=field)
        for field, pattern, rule in _RULES:
            value = getattr(self, field)
            if value is not None and not re.fullmatch(pattern, value):
                raise InvalidInput(f"{field} must be {rule}", field=field)
        if self.amount_centavos is not None and not 1 <= self.amount_centavos <= AMOUNT_CENTAVOS_MAX:
            raise InvalidInput(f"amount must be 1 to {AMOUNT_CENTAVOS_MAX} centavos", field="amount")
        if len(_account(self)) > VALUE_LENGTH_MAX:
            raise InvalidInput(
                "description is too long: key and description have 73 characters together", field="description"
            )

    def __repr__(self) -> str:
        return f"BrCode(kind={self.kind.value!r})"


_FIELDS = {
    BrCodeKind.STATIC: ("key", ["url"]),
    BrCodeKind.DYNAMIC: ("url", ["key", "txid", "description"]),
}


def static(
    key: str,
    name: str,
    city: str,
    amount_centavos: int | None = None,
    txid: str | None = None,
    description: str | None = None,
) -> BrCode:
    """A code that may be paid again and again. Accents of the texts are dropped, nothing is cut.

    :raises InvalidInput: names the field.
    """
    return BrCode(
        BrCodeKind.STATIC,
        _fold(name),
        _fold(city),
        key=key,
        amount_centavos=amount_centavos,
        txid=txid,
        description=description and _fold(description),
    )


def dynamic(url: str, name: str, city: str, amount_centavos: int | None = None) -> BrCode:
    """A code for one charge, which lives at ``url``. Accents of name and city are dropped, nothing is cut.

    :raises InvalidInput: names the field.
    """
    return BrCode(BrCodeKind.DYNAMIC, _fold(name), _fold(city), url=url, amount_centavos=amount_centavos)


def encode(code: BrCode) -> str:
    """The text to pay from, byte for byte as in the manual's examples."""
    amount = code.amount_centavos
    text = "".join(
        [
            _field("00", "01"),
            _field("01", "12" if code.kind is BrCodeKind.DYNAMIC else None),
            _field("26", _account(code)),
            _field("52", "0000"),
            _field("53", "986"),
            _field("54", None if amount is None else f"{amount // 100}.{amount % 100:02d}"),
            _field("58", "BR"),
            _field("59", code.name),
            _field("60", code.city),
            _field("62", _field("05", code.txid or NO_TXID)),
            "6304",
        ]
    )
    return text + _crc(text)


def parse(text: str) -> BrCode:
    """Read a BR Code. Tags we do not use are skipped, but must be well formed.

    Skipped among them: the recurrence (Pix Automático) of a composite code, and the txid of a dynamic one, which the
    manual says to ignore. Surrounding white space is the caller's to strip.

    :raises InvalidInput: field ``br_code``; damaged, ambiguous, no PIX code, or a Pix Saque, which is no payment.
    """
    try:
        return _read(text)
    except InvalidInput as wrong:
        raise InvalidInput(f"br_code: {wrong.detail}", field="br_code") from None


def svg(text: str) -> str:
    """The text as a QR code, dark on white, for a web page. A provider's code is drawn as given, unread.

    :raises InvalidInput: empty, too long, or not ASCII.
    """
    image = BytesIO()
    _qr_code(text).save(image, kind="svg", xmldecl=False, scale=4, border=4, light="white")
    return image.getvalue().decode()


def png(text: str) -> bytes:
    """The same as :func:`svg`, as a bitmap of 4 pixels a module.

    :raises InvalidInput: empty, too long, or not ASCII.
    """
    image = BytesIO()
    _qr_code(text).save(image, kind="png", scale=4, border=4)
    return image.getvalue()


def _qr_code(text: str) -> segno.QRCode:
    """Error level M: read with 15% of it damaged, and still small. Drawn with the quiet zone of ISO/IEC 18004."""
    if len(text) > TEXT_LENGTH_MAX or not _PRINTABLE.fullmatch(text):
        raise InvalidInput(f"br_code must be 1 to {TEXT_LENGTH_MAX} characters of ASCII", field="br_code")
    return segno.make_qr(text, error="m", boost_error=False)


def _read(text: str) -> BrCode:
    if len(text) > TEXT_LENGTH_MAX or not _PRINTABLE.fullmatch(text):
        raise InvalidInput(f"must be 1 to {TEXT_LENGTH_MAX} characters of ASCII")
    if text[-8:-4] != "6304":
        raise InvalidInput("does not end in its checksum (tag 63); is it complete?")
    if text[-4:] != _crc(text[:-4]):
        raise InvalidInput("the checksum does not match; a character was changed or lost")
    tags = _tags(text)
    if next(iter(tags)) != "00" or next(reversed(tags)) != "63":
        raise InvalidInput("must begin with its format (tag 00) and end in its checksum (tag 63)")
    for tag, pattern, rule in _TAG_RULES:
        if not re.fullmatch(pattern, tags.get(tag, "")):
            raise InvalidInput(rule)
    account = _pix_account(tags)
    key, url = account.get("01"), account.get("25")
    if (key is None) == (url is None):
        raise InvalidInput("must hold either a key (tag 26-01) or the address of a charge (26-25)")
    if "03" in account:
        raise InvalidInput("is a Pix Saque, a cash withdrawal; only payments are made")
    is_static = key is not None
    txid = _tags(tags["62"]).get("05") if "62" in tags else None
    return BrCode(
        BrCodeKind.STATIC if is_static else BrCodeKind.DYNAMIC,
        tags.get("59", ""),
        tags.get("60", ""),
        key=key,
        url=url,
        amount_centavos=int(tags["54"].replace(".", "")) if "54" in tags else None,
        txid=txid if is_static and txid != NO_TXID else None,
        description=account.get("02") if is_static else None,
    )


def _tags(text: str) -> dict[str, str]:
    """The tags of one level, in order; none twice, none empty, nothing left over."""
    tags: dict[str, str] = {}
    at = 0
    while at < len(text):
        head, at = text[at : at + 4], at + 4
        if not _HEAD.fullmatch(head):
            raise InvalidInput("a tag and its length are not 4 digits; an earlier length may be wrong")
        tag, length = head[:2], int(head[2:])
        value, at = text[at : at + length], at + length
        if not value or len(value) != length:
            raise InvalidInput(f"tag {tag} is empty or ends before its length")
        if tag in tags:
            raise InvalidInput(f"tag {tag} occurs twice")
        tags[tag] = value
    return tags


def _pix_account(tags: dict[str, str]) -> dict[str, str]:
    """Any of 26 to 51 may be PIX; which one is told by its GUI."""
    accounts = [_tags(value) for tag, value in tags.items() if "26" <= tag <= "51"]
    of_pix = [account for account in accounts if account.get("00", "").lower() == GUI]
    if len(of_pix) != 1:
        raise InvalidInput(f"must hold exactly one account of {GUI} (tags 26 to 51)")
    return of_pix[0]


def _account(code: BrCode) -> str:
    fields = [("00", GUI), ("01", code.key), ("02", code.description), ("25", code.url)]
    return "".join(_field(tag, value) for tag, value in fields)


def _field(tag: str, value: str | None) -> str:
    return "" if value is None else f"{tag}{len(value):02d}{value}"


def _fold(text: str) -> str:
    """Letters without their accents; what is then still not ASCII is refused later."""
    return _ACCENTS.sub("", unicodedata.normalize("NFD", text))


def _crc(text: str) -> str:
    """CRC-16/CCITT-FALSE in 4 upper-case hexadecimal digits."""
    return f"{binascii.crc_hqx(text.encode('ascii'), 0xFFFF):04X}"
