"""BR Codes against published examples, a bank's own library, a QR reader, and everything Hypothesis thinks of."""

import binascii
import json
import re
import struct
import unicodedata
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from brcode import dynamic as their_dynamic
from brcode import static as their_static
from brcode.utils.brcodeId import jsonFromBrcode
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from models.errors import InvalidInput
from payments import br_code
from payments.br_code import AMOUNT_CENTAVOS_MAX, BrCode, BrCodeKind

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "br_code.json").read_text())
EXAMPLES = [pytest.param(case, id=case["id"]) for case in VECTORS["examples"]]
OURS = [pytest.param(case, id=case["id"]) for case in VECTORS["examples"] if case["is_ours"]]
REFUSED = [pytest.param(case, id=case["id"]) for case in VECTORS["refused"]]

KEY, NAME, CITY = "123e4567-e12b-12d1-a456-426655440000", "Fulano de Tal", "BRASILIA"
URL = "pix.example.com/8b3da2f39a4140d1a91abd93113bd441"
ACCOUNT = f"0014br.gov.bcb.pix0136{KEY}"
CHARGE = f"0014br.gov.bcb.pix2548{URL}"

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ASCII = "".join(map(chr, range(0x20, 0x7F)))

letters = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
keys = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=77)
amounts = st.none() | st.integers(1, AMOUNT_CENTAVOS_MAX)
txids = st.none() | st.from_regex(r"[A-Za-z0-9]{1,25}", fullmatch=True)
urls = st.from_regex(r"([A-Za-z0-9-]{1,10}\.){1,3}[a-z]{2,8}/[!-~]{1,30}", fullmatch=True)
people = {"name": st.text(letters, min_size=1, max_size=25), "city": st.text(letters, min_size=1, max_size=15)}


@st.composite
def static_codes(draw: st.DrawFn) -> BrCode:
    key = draw(keys)
    room = 73 - len(key)
    description = draw(st.none() | st.text(letters, min_size=1, max_size=room)) if room > 0 else None
    name, city = draw(people["name"]), draw(people["city"])
    return br_code.static(key, name, city, draw(amounts), draw(txids), description)


dynamic_codes = st.builds(br_code.dynamic, urls, people["name"], people["city"], amounts)
codes = static_codes() | dynamic_codes

fields = st.tuples(st.integers(0, 99), st.text(letters, max_size=20))
account_fields = st.sampled_from([f"26{len(ACCOUNT)}{ACCOUNT}", f"26{len(CHARGE)}{CHARGE}", ""])


def field(tag: int, value: str) -> str:
    return f"{tag:02d}{len(value):02d}{value}"


def sealed(body: str) -> str:
    """With a right checksum, as a forger or a careless bank would send it."""
    text = f"{body}6304"
    return f"{text}{binascii.crc_hqx(text.encode('utf-8', 'surrogatepass'), 0xFFFF):04X}"


def body(account: str = ACCOUNT, *, before: str = "", amount: str = "", name: str = NAME, after: str = "") -> str:
    return f"000201{before}{field(26, account)}520400005303986{amount}5802BR{field(59, name)}6008BRASILIA{after}62070503***"


def refusal_of(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as refusal:
        br_code.parse(text)
    return refusal.value


def read_or_none(text: str) -> BrCode | None:
    try:
        return br_code.parse(text)
    except InvalidInput:
        return None


def content_of(code: BrCode) -> dict[str, Any]:
    return {name: value for name, value in asdict(code).items() if value is not None}


class TestExample:
    @pytest.mark.parametrize("case", EXAMPLES)
    def test_is_read(self, case: dict[str, Any]) -> None:
        assert case["content"] == content_of(br_code.parse(case["text"]))

    @pytest.mark.parametrize("case", OURS)
    def test_is_written_byte_for_byte(self, case: dict[str, Any]) -> None:
        content = dict(case["content"])
        make = {"static": br_code.static, "dynamic": br_code.dynamic}[content.pop("kind")]

        assert case["text"] == br_code.encode(make(**content))

    @pytest.mark.parametrize("case", REFUSED)
    def test_that_is_wrong_or_not_for_us_is_refused(self, case: dict[str, Any]) -> None:
        refusal = refusal_of(case["text"])

        assert refusal.field == "br_code"
        assert case["why"] in refusal.detail

    def test_of_the_checksum_is_met(self) -> None:
        assert VECTORS["checksum"]["crc"] == br_code._crc(VECTORS["checksum"]["text"])


class TestParse:
    @pytest.mark.parametrize(
        ("text", "why"),
        [
            pytest.param("", "1 to 512", id="empty"),
            pytest.param("x" * 513, "1 to 512", id="too-long"),
            pytest.param(sealed(body(name="Fulano\x00")), "ASCII", id="control-character"),
            pytest.param(sealed(body(name="Conceição")), "ASCII", id="accent"),
            pytest.param(body(), "complete", id="no-checksum"),
            pytest.param(sealed(body())[:-1] + "x", "checksum", id="wrong-checksum"),
            pytest.param(sealed(body(after="6106700740")).lower(), "checksum", id="checksum-in-lower-case"),
            pytest.param(sealed(""), "begin with its format", id="only-a-checksum"),
            pytest.param(sealed(body()[6:]), "begin with its format", id="no-format"),
            pytest.param(sealed("000202" + body()[6:]), "format (tag 00)", id="other-format"),
            pytest.param(sealed(body() + "9910ab"), "end in its checksum", id="checksum-inside-a-value"),
            pytest.param(sealed(body() + "6304ABCD"), "tag 63 occurs twice", id="two-checksums"),
            pytest.param(sealed(body(before="010213")), "tag 01", id="other-initiation"),
            pytest.param(sealed(body().replace("52040000", "")), "tag 52", id="no-category"),
            pytest.param(sealed(body().replace("986", "840")), "tag 53", id="dollars"),
            pytest.param(sealed(body().replace("5802BR", "5802AR")), "tag 58", id="argentina"),
            pytest.param(sealed(body().replace(field(59, NAME), "")), "name must", id="no-name"),
            pytest.param(sealed(body(name="x" * 26)), "name must", id="long-name"),
            pytest.param(sealed(body().replace("6008BRASILIA", "6016PRESIDENTE PRUDE")), "city must", id="long-city"),
            pytest.param(sealed(body().replace("6008BRASILIA", "6000")), "tag 60 is empty", id="empty-city"),
            pytest.param(sealed(body().replace("6008", "60+8")), "4 digits", id="signed-length"),
            pytest.param(sealed(body(after="6008SALVADOR")), "tag 60 occurs twice", id="two-cities"),
            pytest.param(sealed(body(f"{ACCOUNT}0102ab")), "tag 01 occurs twice", id="two-keys"),
            pytest.param(sealed(body(before=field(27, ACCOUNT))), "exactly one account", id="two-accounts"),
            pytest.param(sealed(body("0012BR.COM.OUTRO")), "exactly one account", id="no-account"),
            pytest.param(sealed(body("0014br.gov.bcb.pix")), "either a key", id="neither-key-nor-charge"),
            pytest.param(sealed(body("0014br.gov.bcb.pix0103a@b2507a.com/x")), "either a key", id="key-and-charge"),
            pytest.param(sealed(body(f"{ACCOUNT}030812345678")), "Pix Saque", id="withdrawal"),
            pytest.param(sealed(body("0014br.gov.bcb.pix2515https://a.com/x")), "url must", id="scheme"),
            pytest.param(sealed(body("0014br.gov.bcb.pix2511localhost/x")), "url must", id="host-without-a-dot"),
            pytest.param(sealed(body("0014br.gov.bcb.pix2513a@pix.com.br/")), "url must", id="user-before-the-host"),
            pytest.param(sealed(body("0014br.gov.bcb.pix0111 5299822472")), "key must", id="space-in-the-key"),
            *[
                pytest.param(sealed(body(amount=field(54, text))), "amount", id=f"amount-{text}")
                for text in (
                    "10",
                    "10.5",
                    "10.505",
                    "10,50",
                    "1e5",
                    "-1.00",
                    "01.00",
                    ".50",
                    "0.00",
                    "10000000000.00",
                )
            ],
            pytest.param(sealed(body()[:-7] + field(5, "****")), "4 digits", id="txid-beyond-its-template"),
            *[
                pytest.param(sealed(body()[:-11] + field(62, field(5, text))), "txid must", id=f"txid-{text}")
                for text in ("****", "A-1", "x" * 26)
            ],
        ],
    )
    def test_refuses_and_says_why_without_what_it_read(self, text: str, why: str) -> None:
        refusal = refusal_of(text)

        assert refusal.field == "br_code"
        assert why in refusal.detail
        assert not any(secret in refusal.detail for secret in (KEY, NAME, CITY, "5299822472"))

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(sealed(body(before="010211")), id="reusable"),
            pytest.param(sealed(body(before="010212")), id="for-one-payment"),
            pytest.param(sealed(body(ACCOUNT.upper().replace(KEY.upper(), KEY))), id="gui-in-capitals"),
            pytest.param(sealed(body(after="610870074900")), id="postal-code"),
            pytest.param(sealed(body(before="0414" + "1" * 14)), id="a-card-network-too"),
            pytest.param(sealed(body() + field(80, "0012BR.COM.OUTRO0102ab")), id="something-of-others"),
            pytest.param(sealed(body()[:-11]), id="no-additional-data"),
            pytest.param(sealed(body()[:-11] + field(62, field(7, "A"))), id="other-additional-data"),
            pytest.param(sealed(body().replace("26580014", "51580014")), id="account-in-tag-51"),
            pytest.param(sealed(body() + field(99, "x" * 99) + field(98, "x" * 99) + field(97, "x" * 99)), id="long"),
        ],
    )
    def test_skips_what_it_has_no_use_for(self, text: str) -> None:
        assert BrCode(BrCodeKind.STATIC, NAME, CITY, key=KEY) == br_code.parse(text)

    def test_ignores_the_txid_of_a_dynamic_code_as_the_manual_says(self) -> None:
        text = sealed(body(CHARGE)[:-11] + field(62, field(5, "any thing")))

        assert BrCode(BrCodeKind.DYNAMIC, NAME, CITY, url=URL) == br_code.parse(text)

    def test_of_512_characters_is_the_most(self) -> None:
        filler = "".join(field(tag, "x" * 99) for tag in (97, 98, 99))
        longest = body() + filler + field(96, "x" * (512 - len(body()) - len(filler) - 12))

        assert len(sealed(longest)) == 512
        assert KEY == br_code.parse(sealed(longest)).key
        assert "512" in refusal_of(sealed(longest.replace(field(59, NAME), field(59, NAME + "x")))).detail

    @UNHURRIED
    @given(text=st.text(max_size=600))
    def test_of_any_text_is_refused(self, text: str) -> None:
        assert refusal_of(text).field == "br_code"

    @UNHURRIED
    @given(
        head=st.lists(fields, max_size=4),
        account=account_fields,
        tail=st.lists(fields, max_size=4),
        cut=st.integers(0, 9),
    )
    def test_of_any_fields_with_a_right_checksum_is_a_code_or_a_refusal(
        self, head: list[tuple[int, str]], account: str, tail: list[tuple[int, str]], cut: int
    ) -> None:
        start = "000201" + "".join(field(*one) for one in head) + account
        rest = "5204000053039865802BR5906Fulano6008BRASILIA" + "".join(field(*one) for one in tail)

        code = read_or_none(sealed((start + rest)[: -cut or None]))

        assert code is None or code == br_code.parse(br_code.encode(code))


class TestCode:
    @UNHURRIED
    @given(code=codes)
    def test_is_read_as_it_was_written(self, code: BrCode) -> None:
        assert code == br_code.parse(br_code.encode(code))

    @UNHURRIED
    @given(code=codes, at=st.integers(0), other=st.characters())
    def test_with_one_character_changed_is_refused(self, code: BrCode, at: int, other: str) -> None:
        text = br_code.encode(code)
        at %= len(text)
        assume(other != text[at])

        assert refusal_of(text[:at] + other + text[at + 1 :]).field == "br_code"

    @pytest.mark.parametrize("case", OURS)
    def test_with_any_character_changed_to_any_other_is_refused(self, case: dict[str, Any]) -> None:
        text = case["text"]

        read = {
            read_or_none(text[:at] + other + text[at + 1 :])
            for at, character in enumerate(text)
            for other in ASCII.replace(character, "")
        }

        assert {None} == read

    @UNHURRIED
    @given(code=codes, at=st.integers(0))
    def test_with_one_character_lost_doubled_or_swapped_is_never_read_as_the_same(
        self, code: BrCode, at: int
    ) -> None:
        text = br_code.encode(code)
        at %= len(text) - 1
        lost, doubled = text[:at] + text[at + 1 :], text[: at + 1] + text[at:]
        swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]

        for other in {lost, doubled, swapped} - {text}:
            assert code != read_or_none(other)

    def test_shows_no_personal_data_in_its_repr(self) -> None:
        code = br_code.static(KEY, NAME, CITY)

        assert repr(code) == "BrCode(kind='static')"


class TestStatic:
    def test_drops_accents(self) -> None:
        code = br_code.static(KEY, "Padaria São João", "Conceição", description="Café às três")

        assert ("Padaria Sao Joao", "Conceicao", "Cafe as tres") == (code.name, code.city, code.description)

    def test_reads_composed_and_decomposed_accents_alike(self) -> None:
        composed, decomposed = (unicodedata.normalize(form, "São João") for form in ("NFC", "NFD"))

        assert br_code.static(KEY, composed, CITY) == br_code.static(KEY, decomposed, CITY)

    @pytest.mark.parametrize(
        ("wrong", "at_fault"),
        [
            ({"name": ""}, "name"),
            ({"name": "x" * 26}, "name"),
            ({"name": "Łukasz"}, "name"),
            ({"name": "Ana\n"}, "name"),
            ({"name": "a ≠ b"}, "name"),
            ({"name": "安娜"}, "name"),
            ({"city": ""}, "city"),
            ({"city": "São José do Rio Preto"}, "city"),
            ({"key": ""}, "key"),
            ({"key": "x" * 78}, "key"),
            ({"key": "ana maria"}, "key"),
            ({"key": "aná@example.com"}, "key"),
            ({"amount_centavos": 0}, "amount"),
            ({"amount_centavos": -1}, "amount"),
            ({"amount_centavos": 10**12}, "amount"),
            ({"txid": ""}, "txid"),
            ({"txid": "***"}, "txid"),
            ({"txid": "A-1"}, "txid"),
            ({"txid": "x" * 26}, "txid"),
            ({"txid": "١"}, "txid"),
            ({"description": ""}, "description"),
            ({"description": "x" * 38}, "description"),
            ({"key": "x" * 77, "description": "x"}, "description"),
        ],
        ids=lambda value: ascii(value)[:60] if isinstance(value, dict) else value,
    )
    def test_refuses_and_names_the_field(self, wrong: dict[str, Any], at_fault: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            br_code.static(**{"key": KEY, "name": NAME, "city": CITY, **wrong})

        assert refusal.value.field == at_fault
        assert refusal.value.detail.startswith(at_fault)
        assert not any(len(str(value)) > 3 and str(value) in refusal.value.detail for value in wrong.values())

    def test_fills_the_account_to_its_last_character(self) -> None:
        code = br_code.static(KEY, NAME, CITY, description="x" * 37)

        assert f"2699{ACCOUNT}0237{'x' * 37}52" in br_code.encode(code)
        assert code == br_code.parse(br_code.encode(code))

    def test_holds_a_key_of_77_characters(self) -> None:
        code = br_code.static("x" * 77, NAME, CITY)

        assert code == br_code.parse(br_code.encode(code))


class TestDynamic:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "https://pix.example.com/x",
            "pix.example.com",
            "pix.example.com/",
            "localhost/x",
            "x/y.z",
            "a@pix.com/x",
            "é.com/x",
            "pix.example.com/a b",
            "pix.example.com/x\n",
            "pix.example.com/" + "x" * 62,
            "." * 1_000_000,
        ],
        ids=lambda url: ascii(url)[:30],
    )
    def test_refuses_what_is_no_address(self, url: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            br_code.dynamic(url, NAME, CITY)

        assert refusal.value.field == "url"

    def test_holds_an_address_of_77_characters(self) -> None:
        code = br_code.dynamic("pix.example.com/" + "x" * 61, NAME, CITY, 1)

        assert code == br_code.parse(br_code.encode(code))

    @pytest.mark.parametrize("foreign", ["key", "txid", "description"])
    def test_has_no_field_of_a_static_code(self, foreign: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            BrCode(BrCodeKind.DYNAMIC, NAME, CITY, url=URL, **{foreign: "x"})

        assert refusal.value.field == foreign


class TestIndependentLibrary:
    """starkbank-brcode, a bank's own reader and writer, which shares no code with us."""

    @UNHURRIED
    @given(code=codes)
    def test_reads_our_codes(self, code: BrCode) -> None:
        is_static = code.kind is BrCodeKind.STATIC
        target = {"01": code.key} if is_static else {"25": code.url}
        expected = {
            "00": "01",
            "26": {"00": "br.gov.bcb.pix", **target},
            "52": "0000",
            "53": "986",
            "58": "BR",
            "59": code.name,
            "60": code.city,
            "62": {"05": code.txid or "***"},
        }
        if not is_static:
            expected["01"] = "12"
        if code.description is not None:
            expected["26"]["02"] = code.description
        if code.amount_centavos is not None:
            expected["54"] = f"{code.amount_centavos // 100}.{code.amount_centavos % 100:02d}"

        read = jsonFromBrcode(br_code.encode(code))

        assert read.pop("63")
        assert expected == read

    @UNHURRIED
    @given(code=static_codes())
    def test_writes_static_codes_that_we_read(self, code: BrCode) -> None:
        text = their_static.fromJson({**content_of(code), "amount": code.amount_centavos, "txid": code.txid or ""})

        assert code == br_code.parse(text)

    @UNHURRIED
    @given(code=dynamic_codes)
    def test_writes_dynamic_codes_that_we_read(self, code: BrCode) -> None:
        text = their_dynamic.fromJson({**content_of(code), "amount": code.amount_centavos, "txid": ""})

        assert code == br_code.parse(text)


DRAWN = [
    pytest.param(br_code.encode(br_code.static(KEY, NAME, CITY, 10_050, "PEDIDO42")), id="static"),
    pytest.param(br_code.encode(br_code.dynamic(URL, NAME, CITY)), id="dynamic"),
    pytest.param("x~ " * 170 + "ab", id="512-characters"),
]


class TestImage:
    @pytest.mark.parametrize("text", DRAWN)
    def test_in_png_is_read_by_an_independent_reader(self, text: str) -> None:
        read = zxingcpp.read_barcodes(gray(pixels_of_png(br_code.png(text))))

        assert [(text, "M")] == [(code.text, code.ec_level) for code in read]

    @pytest.mark.parametrize("text", DRAWN)
    def test_in_svg_is_the_same_picture(self, text: str) -> None:
        in_png = [row[::4] for row in pixels_of_png(br_code.png(text))[::4]]

        assert in_png == modules_of_svg(br_code.svg(text))

    def test_has_a_quiet_zone_of_4_modules(self) -> None:
        modules = modules_of_svg(br_code.svg("x"))

        assert not any(any(row) for row in (*modules[:4], *modules[-4:]))
        assert not any(any(row[:4]) or any(row[-4:]) for row in modules)
        assert modules[4][4]

    def test_in_svg_stands_on_white_in_a_file_of_its_own(self) -> None:
        image = br_code.svg("x")

        assert image.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
        assert 'fill="#fff"' in image

    def test_is_no_micro_qr_code_however_short(self) -> None:
        assert 21 + 2 * 4 == len(modules_of_svg(br_code.svg("1")))

    @pytest.mark.parametrize("draw", [br_code.svg, br_code.png])
    @pytest.mark.parametrize("text", ["", "x" * 513, "São Paulo", "a\nb"], ids=ascii)
    def test_of_what_is_no_such_text_is_refused(self, draw: Any, text: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            draw(text)

        assert refusal.value.field == "br_code"


def pixels_of_png(image: bytes) -> list[list[bool]]:
    """Rows of a black-and-white PNG, True where dark; written from the PNG specification."""
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(image):
        (length,), kind = struct.unpack(">I", image[at : at + 4]), image[at + 4 : at + 8]
        chunks[kind] = chunks.get(kind, b"") + image[at + 8 : at + 8 + length]
        at += length + 12
    width, height, depth, colour, *others = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, colour, *others) == (1, 0, 0, 0, 0)
    data, stride = zlib.decompress(chunks[b"IDAT"]), (width + 7) // 8 + 1
    rows = [data[start : start + stride] for start in range(0, len(data), stride)]
    assert len(rows) == height
    above = bytes(stride - 1)
    picture = []
    for filtering, *row in rows:
        assert filtering in {0, 2}, "neither as it is nor the difference to the row above"
        above = bytes((now + up) % 256 for now, up in zip(row, above, strict=True)) if filtering else bytes(row)
        picture.append([not above[x // 8] >> (7 - x % 8) & 1 for x in range(width)])
    return picture


def modules_of_svg(image: str) -> list[list[bool]]:
    """Rows of modules, True where the path's strokes of width 1 pass."""
    size = int(re.search(r'd="M0 0h([0-9]+)v', image)[1])
    rows = [[False] * size for _ in range(size)]
    path = re.search(r'stroke="#000" d="([^"]+)"', image)[1]
    x, y = 0, 0
    for command, dx, dy in re.findall(r"([Mmh])(-?[0-9.]+)(?: (-?[0-9.]+))?", path):
        match command:
            case "M":
                x, y = int(dx), int(float(dy))
            case "m":
                x, y = x + int(dx), y + int(dy)
            case "h":
                rows[y][x : x + int(dx)] = [True] * int(dx)
                x += int(dx)
    return rows


def gray(rows: list[list[bool]]) -> memoryview:
    pixels = b"".join(bytes(0 if dark else 255 for dark in row) for row in rows)
    return memoryview(pixels).cast("B", shape=[len(rows), len(rows[0])])
