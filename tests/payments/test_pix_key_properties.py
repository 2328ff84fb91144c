"""PIX keys: however one is written, it becomes the same key, and what is no key is refused without being repeated."""

import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from models.errors import InvalidPixKey
from payments.pix_key import parse_pix_key
from payments.protocol import PixKeyKind

CPF, CNPJ, PHONE, EMAIL, EVP = PixKeyKind

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = {
    CPF: "CPF",
    CNPJ: "CNPJ",
    PHONE: "Brazilian phone number",
    EMAIL: "e-mail address",
    EVP: "random key (UUID)",
}
CNPJ_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NO_AREA_CODES = {20, 23, 25, 26, 29, 36, 39, 52, 56, 57, 58, 59, 72, 76, 78, 30, 40, 50, 60, 70, 80, 90}
AREA_CODES = [f"{number}" for number in range(11, 100) if number not in NO_AREA_CODES]
"""Anatel's."""


def check_digit(characters: str, weights: Sequence[int]) -> str:
    """Receita Federal's modulo 11; a character counts its ASCII code less 48 (IN RFB 2.229/2024)."""
    rest = sum((ord(character) - 48) * weight for character, weight in zip(characters, weights, strict=True)) % 11
    return str(0 if rest < 2 else 11 - rest)


def cpf_of(nine: str) -> str:
    ten = nine + check_digit(nine, range(10, 1, -1))
    return ten + check_digit(ten, range(11, 1, -1))


def cnpj_of(twelve: str) -> str:
    weights = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]
    thirteen = twelve + check_digit(twelve, weights[1:])
    return thirteen + check_digit(thirteen, weights)


def masked(characters: str, mask: str) -> str:
    rest = iter(characters)
    return "".join(next(rest) if place == "#" else place for place in mask)


def is_varied(key: str) -> bool:
    return len(set(key)) > 1


cpfs = st.text("0123456789", min_size=9, max_size=9).map(cpf_of).filter(is_varied)
cnpjs = st.text(CNPJ_CHARACTERS, min_size=12, max_size=12).map(cnpj_of).filter(is_varied)
mobiles = st.from_regex(r"9[6-9][0-9]{7}", fullmatch=True)
landlines = st.from_regex(r"[2-4][0-9]{7}", fullmatch=True)
phones = st.builds("+55{}{}".format, st.sampled_from(AREA_CODES), mobiles | landlines)
words = st.from_regex(r"[a-z0-9]([a-z0-9_+-]{0,12}[a-z0-9])?", fullmatch=True)
emails = st.builds("{}.{}@{}.com.br".format, words, words, st.from_regex(r"[a-z]{2,20}", fullmatch=True))
evps = st.uuids().map(str)

valid = {CPF: cpfs, CNPJ: cnpjs, PHONE: phones, EMAIL: emails, EVP: evps}


def keys_of(*kinds: PixKeyKind) -> st.SearchStrategy[tuple[PixKeyKind, str]]:
    return st.one_of(*(st.tuples(st.just(kind), valid[kind]) for kind in kinds))


def phone_parts(key: str) -> tuple[str, str, str]:
    return key[3:5], key[5:-4], key[-4:]


Spelling = Callable[[str], str]
SPELLINGS: dict[PixKeyKind, list[Spelling]] = {
    CPF: [
        lambda key: masked(key, "###.###.###-##"),
        lambda key: masked(key, "### ### ### ##"),
        lambda key: masked(key, "#########/##"),
        " ".join,
    ],
    CNPJ: [
        lambda key: masked(key, "##.###.###/####-##"),
        lambda key: masked(key, "## ### ### #### ##"),
        lambda key: masked(key.lower(), "##.###.###/####-##"),
        str.lower,
        str.title,
        " ".join,
    ],
    PHONE: [
        lambda key: "({}) {}-{}".format(*phone_parts(key)),
        lambda key: "{} {} {}".format(*phone_parts(key)),
        lambda key: "{}{}{}".format(*phone_parts(key)),
        lambda key: "0{} {}-{}".format(*phone_parts(key)),
        lambda key: "+55 ({}) {}-{}".format(*phone_parts(key)),
        lambda key: "+55 {}.{}.{}".format(*phone_parts(key)),
    ],
    EMAIL: [str.upper, str.title, str.swapcase],
    EVP: [str.upper, str.title],
}
ALL_SPELLINGS = [
    pytest.param(kind, spell, id=f"{kind}-{number}")
    for kind, spellings in SPELLINGS.items()
    for number, spell in enumerate(spellings)
]


def refusal_of(text: str, kind: PixKeyKind) -> InvalidPixKey:
    with pytest.raises(InvalidPixKey) as refusal:
        parse_pix_key(text, kind)
    return refusal.value


def read_or_none(text: str, kind: PixKeyKind) -> str | None:
    try:
        return parse_pix_key(text, kind)
    except InvalidPixKey:
        return None


def refuses_in_silence(text: str, kind: PixKeyKind) -> bool:
    """Refused, for the right field, in a sentence that is the same whatever was typed."""
    refusal = refusal_of(text, kind)
    return (
        refusal.field == "pix_key"
        and str(refusal) == refusal.detail == f"pix_key is not a valid {NAMES[kind]}"
        and refusal.__cause__ is None
        and refusal.__context__ is None
    )


class TestValidKey:
    @UNHURRIED
    @given(case=keys_of(*PixKeyKind))
    def test_is_kept_as_it_is(self, case: tuple[PixKeyKind, str]) -> None:
        kind, key = case

        assert key == parse_pix_key(key, kind)

    @pytest.mark.parametrize(("kind", "spell"), ALL_SPELLINGS)
    @settings(UNHURRIED, max_examples=25)
    @given(data=st.data(), before=st.sampled_from(["", " ", "\t"]), after=st.sampled_from(["", " ", "\r\n"]))
    def test_becomes_the_same_key_however_it_is_written(
        self, kind: PixKeyKind, spell: Spelling, data: st.DataObject, before: str, after: str
    ) -> None:
        key = data.draw(valid[kind])

        read = parse_pix_key(before + spell(key) + after, kind)

        assert key == read
        assert read == parse_pix_key(read, kind)

    @UNHURRIED
    @given(case=keys_of(EMAIL, EVP, CNPJ), data=st.data())
    def test_is_read_in_any_mix_of_cases(self, case: tuple[PixKeyKind, str], data: st.DataObject) -> None:
        kind, key = case
        upper = data.draw(st.lists(st.booleans(), min_size=len(key), max_size=len(key)))
        typed = "".join(
            character.upper() if up else character.lower() for character, up in zip(key, upper, strict=True)
        )

        assert key == parse_pix_key(typed, kind)

    @UNHURRIED
    @given(case=keys_of(*PixKeyKind))
    def test_is_no_key_of_another_kind(self, case: tuple[PixKeyKind, str]) -> None:
        kind, key = case

        for other in set(PixKeyKind) - {kind}:
            # 11 digits are the one text that two kinds share: see TestElevenDigits.
            assert (kind, other) == (CPF, PHONE) or refuses_in_silence(key, other)


class TestAlphanumericCnpj:
    def test_of_the_official_sample_is_read(self) -> None:
        assert "12ABC34501DE35" == cnpj_of("12ABC34501DE") == parse_pix_key("12.abc.345/01de-35", CNPJ)

    def test_with_other_check_digits_is_refused(self) -> None:
        wrong = [f"12ABC34501DE{number:02d}" for number in range(100) if number != 35]

        assert all(refuses_in_silence(typed, CNPJ) for typed in wrong)


class TestElevenDigits:
    @UNHURRIED
    @given(area=st.sampled_from(AREA_CODES), rest=st.from_regex(r"9[6-9][0-9]{5}", fullmatch=True))
    def test_that_are_a_cpf_and_a_phone_are_told_apart_by_the_kind_alone(self, area: str, rest: str) -> None:
        digits = cpf_of(area + rest)
        assume(is_varied(digits))

        assert digits == parse_pix_key(digits, CPF)
        assert f"+55{digits}" == parse_pix_key(digits, PHONE)

    def test_are_not_read_without_a_kind(self) -> None:
        with pytest.raises(TypeError, match="kind"):
            parse_pix_key("11987654330")  # type: ignore[call-arg]

    @UNHURRIED
    @given(cpf=cpfs)
    def test_of_a_cpf_are_no_cpf_with_a_plus(self, cpf: str) -> None:
        assert refuses_in_silence(f"+{cpf}", CPF)


class TestInvalidKey:
    @UNHURRIED
    @given(key=cpfs | cnpjs, wrong=st.integers(1, 99))
    def test_with_wrong_check_digits_is_refused(self, key: str, wrong: int) -> None:
        typed = f"{key[:-2]}{(int(key[-2:]) + wrong) % 100:02d}"

        assert refuses_in_silence(typed, CPF if len(key) == 11 else CNPJ)

    @UNHURRIED
    @given(case=keys_of(CPF, CNPJ, EVP), at=st.integers(0))
    def test_with_a_character_lost_or_doubled_is_no_cpf_cnpj_or_uuid(
        self, case: tuple[PixKeyKind, str], at: int
    ) -> None:
        kind, key = case
        at %= len(key)

        assert refuses_in_silence(key[:at] + key[at + 1 :], kind)
        assert refuses_in_silence(key[: at + 1] + key[at:], kind)

    @UNHURRIED
    @given(case=keys_of(*PixKeyKind), at=st.integers(0), foreign=st.characters(min_codepoint=0x80))
    def test_with_a_character_beyond_ascii_is_refused(
        self, case: tuple[PixKeyKind, str], at: int, foreign: str
    ) -> None:
        kind, key = case
        at %= len(key)

        assert refuses_in_silence(key[:at] + foreign + key[at + 1 :], kind)

    @pytest.mark.parametrize("kind", PixKeyKind)
    @pytest.mark.parametrize("foreign", ["\u00a0", "\u2003", "\u2028"], ids=ascii)
    @settings(UNHURRIED, max_examples=5)
    @given(data=st.data())
    def test_between_spaces_beyond_ascii_is_refused(
        self, kind: PixKeyKind, foreign: str, data: st.DataObject
    ) -> None:
        key = data.draw(valid[kind])

        assert refuses_in_silence(foreign + key, kind)
        assert refuses_in_silence(key + foreign, kind)

    @UNHURRIED
    @given(cpf=st.integers(1, 10**8 - 1), cnpj=st.integers(1, 10**11 - 1))
    def test_without_its_leading_zeros_is_refused(self, cpf: int, cnpj: int) -> None:
        assert refuses_in_silence(cpf_of(f"{cpf:09d}").lstrip("0"), CPF)
        assert refuses_in_silence(cnpj_of(f"{cnpj:012d}").lstrip("0"), CNPJ)

    def test_is_an_email_of_more_than_77_characters(self) -> None:
        longest = f"{'a' * 64}@{'b' * 8}.com"

        assert longest == parse_pix_key(longest, EMAIL)
        assert refuses_in_silence(longest.replace("@", "@b"), EMAIL)

    @pytest.mark.parametrize("digit", "0123456789")
    def test_of_one_repeated_digit_is_refused(self, digit: str) -> None:
        assert refuses_in_silence(digit * 11, CPF)
        assert refuses_in_silence(digit * 14, CNPJ)

    @UNHURRIED
    @given(area=st.integers(0, 99).map("{:02d}".format).filter(lambda area: area not in AREA_CODES), number=mobiles)
    def test_of_no_area_code_is_no_phone(self, area: str, number: str) -> None:
        assert refuses_in_silence(f"+55{area}{number}", PHONE)

    @UNHURRIED
    @given(phone=phones, country=st.sampled_from(["1", "351", "44", "54", "595"]))
    def test_of_another_country_is_no_phone(self, phone: str, country: str) -> None:
        assert refuses_in_silence(f"+{country}{phone[3:]}", PHONE)

    @UNHURRIED
    @given(
        email=emails,
        damage=st.sampled_from(["no at", "two ats", "no host", "no user", "space", "name", "not ascii"]),
    )
    def test_of_no_email_is_refused(self, email: str, damage: str) -> None:
        user, _, host = email.partition("@")
        typed = {
            "no at": user + host,
            "two ats": f"{user}@{user}@{host}",
            "no host": f"{user}@",
            "no user": f"@{host}",
            "space": f"{user} @{host}",
            "name": f"Ana <{email}>",
            "not ascii": f"{user}@xn--exmple-cua.com.br",
        }[damage]

        assert refuses_in_silence(typed, EMAIL)

    @UNHURRIED
    @given(evp=evps, damage=st.sampled_from(["", "{}", "urn:uuid:", "g"]))
    def test_of_another_form_is_no_random_key(self, evp: str, damage: str) -> None:
        typed = {"": evp.replace("-", ""), "{}": f"{{{evp}}}", "urn:uuid:": f"urn:uuid:{evp}", "g": f"{evp[:-1]}g"}[
            damage
        ]

        assert refuses_in_silence(typed, EVP)

    @UNHURRIED
    @given(text=st.text(max_size=120), kind=st.sampled_from(PixKeyKind))
    def test_of_any_text_is_refused_in_silence_or_is_a_key_of_its_form(self, text: str, kind: PixKeyKind) -> None:
        form = {
            CPF: r"[0-9]{11}",
            CNPJ: r"[0-9A-Z]{12}[0-9]{2}",
            PHONE: r"\+55[0-9]{10,11}",
            EMAIL: r"[^@\sA-Z]+@[^@\sA-Z]+",
            EVP: r"[0-9a-f-]{36}",
        }[kind]

        key = read_or_none(text, kind)

        assert refuses_in_silence(text, kind) if key is None else re.fullmatch(form, key)
