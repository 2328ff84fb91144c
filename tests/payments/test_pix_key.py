import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidInput, InvalidPixKey
from payments.pix_key import mask_pix_key, mask_tax_id, parse_pix_key, parse_tax_id
from payments.protocol import PixKeyKind

CPF, CNPJ, PHONE, EMAIL, EVP = PixKeyKind

GOOD = [
    (CPF, "52998224725", "52998224725"),
    (CPF, " 529.982.247-25 ", "52998224725"),
    (CPF, "00000000191", "00000000191"),
    (CNPJ, "11.222.333/0001-81", "11222333000181"),
    (CNPJ, "12ABC34501DE35", "12ABC34501DE35"),  # the sample of IN RFB 2.229/2024
    (CNPJ, "12.abc.345/01de-35", "12ABC34501DE35"),
    (PHONE, "+5511987654321", "+5511987654321"),
    (PHONE, "(11) 98765-4321", "+5511987654321"),
    (PHONE, "11987654321", "+5511987654321"),
    (PHONE, "+55 21 98765 4321", "+5521987654321"),
    (EMAIL, "Ana.Silva+rejected@Example.COM", "ana.silva+rejected@example.com"),
    (EVP, "123E4567-E89B-42D3-A456-426614174000", "123e4567-e89b-42d3-a456-426614174000"),
]

BAD = [
    (CPF, ""),
    (CPF, "52998224726"),
    (CPF, "11111111111"),
    (CPF, "191"),  # validate-docbr alone would pad it with zeros
    (CPF, "5299822472５"),  # a full-width digit
    (CPF, "529.982.247-25\n529.982.247-25"),
    (CNPJ, "12ABC34501DE34"),
    (CNPJ, "12ıBC34501DE10"),  # the dotless i, whose upper case is an ASCII I
    (CNPJ, "11111111111111"),
    (CNPJ, "52998224725"),
    (CNPJ, "12ABC34501DEAB"),
    (PHONE, "+5511887654321"),
    (PHONE, "00987654321"),
    (PHONE, "+14155552671"),
    (PHONE, "tel:+5511987654321;ext=1"),
    (PHONE, "+5511987654321 ext 5"),
    (PHONE, "0800-FLOWERS"),
    (EMAIL, "ana"),
    (EMAIL, "ana@localhost"),
    (EMAIL, "Ana <ana@example.com>"),
    (EMAIL, "aná@example.com"),
    (EMAIL, "a" * 60 + "@bbbbbbbbbb.example.com"),  # an e-mail address, of 83 characters
    (EMAIL, "a" * 1_000_000 + "@example.com"),
    (EVP, "123e4567e89b42d3a456426614174000"),
    (EVP, "{123e4567-e89b-42d3-a456-426614174000}"),
    (EVP, "123e4567-e89b-42d3-a456-42661417400g"),
]


class TestParsePixKey:
    @pytest.mark.parametrize(("kind", "text", "expected"), GOOD)
    def test_reads_and_normalises(self, kind: PixKeyKind, text: str, expected: str) -> None:
        assert expected == parse_pix_key(text, kind)

    @pytest.mark.parametrize(("kind", "text", "expected"), GOOD)
    def test_reads_its_own_result_unchanged(self, kind: PixKeyKind, text: str, expected: str) -> None:
        assert expected == parse_pix_key(expected, kind)

    @pytest.mark.parametrize(("kind", "text"), BAD)
    def test_refuses_and_names_the_field(self, kind: PixKeyKind, text: str) -> None:
        with pytest.raises(InvalidPixKey) as refusal:
            parse_pix_key(text, kind)

        assert refusal.value.field == "pix_key"

    @pytest.mark.parametrize(("kind", "text"), [case for case in BAD if len(case[1]) > 4])
    def test_never_repeats_the_key(self, kind: PixKeyKind, text: str) -> None:
        with pytest.raises(InvalidPixKey) as refusal:
            parse_pix_key(text, kind)

        assert text not in str(refusal.value)
        assert refusal.value.__cause__ is None
        assert refusal.value.__context__ is None

    @given(text=st.text(max_size=120), kind=st.sampled_from(PixKeyKind))
    def test_of_any_text_is_a_key_that_parses_to_itself_or_a_refusal(self, text: str, kind: PixKeyKind) -> None:
        try:
            key = parse_pix_key(text, kind)
        except InvalidPixKey:
            return

        assert key == parse_pix_key(key, kind)

    @given(user=st.from_regex(r"[A-Za-z0-9]{1,40}", fullmatch=True))
    def test_lower_cases_every_email(self, user: str) -> None:
        assert f"{user}@example.com".lower() == parse_pix_key(f"{user}@EXAMPLE.com", EMAIL)


class TestParseTaxId:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("529.982.247-25", "52998224725"),
            ("12.ABC.345/01DE-35", "12ABC34501DE35"),
            ("11222333000181", "11222333000181"),
        ],
    )
    def test_reads_cpf_and_cnpj(self, text: str, expected: str) -> None:
        assert expected == parse_tax_id(text)

    @pytest.mark.parametrize("text", ["", "123", "11111111111", "12ABC34501DE34", "ana@example.com", "٥" * 11])
    def test_refuses_anything_else(self, text: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            parse_tax_id(text)

        assert refusal.value.field == "tax_id"


class TestMask:
    @pytest.mark.parametrize(
        ("kind", "key", "expected"),
        [
            (CPF, "52998224725", "***.982.247-**"),
            (CNPJ, "12ABC34501DE35", "**.ABC.345/****-**"),
            (PHONE, "+5511987654321", "+55*******4321"),
            (EMAIL, "ana@example.com", "a***@example.com"),
            (EVP, "123e4567-e89b-42d3-a456-426614174000", "********-****-****-****-********4000"),
        ],
    )
    def test_shows_a_part(self, kind: PixKeyKind, key: str, expected: str) -> None:
        assert expected == mask_pix_key(key, kind)

    @pytest.mark.parametrize("kind", PixKeyKind)
    @pytest.mark.parametrize("key", ["", "@", "x", "@example.com"])
    def test_hides_all_of_what_is_no_key(self, kind: PixKeyKind, key: str) -> None:
        assert mask_pix_key(key, kind) == "***"

    def test_of_a_tax_id_is_the_same(self) -> None:
        assert mask_tax_id("52998224725") == "***.982.247-**"
