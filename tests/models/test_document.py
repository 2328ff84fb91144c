"""Who a user is, as the flows that move money read it."""

import pytest

from models.bank_data.types import NewKeyRule
from models.document import queries, writes
from models.document.types import Holder
from models.errors import KeyTooNew, NotFound, SealBroken
from models.quote.types import Funding
from models.secret_box import same, tax_id_fingerprint
from tests.models.world import ANA, BOX, COIN, World
from tests.people import fresh_cpf


class TestHolder:
    async def test_is_opened_for_the_flow_and_shown_to_nobody(self, world: World) -> None:
        async with world.engine.connect() as conn:
            found = await queries.holder(conn, BOX, world.user_id)

        assert Holder(ANA.holder_tax_id, ANA.holder_name) == found
        assert "Holder(...)" == repr(found)

    async def test_of_a_stranger_is_none(self, world: World) -> None:
        async with world.engine.connect() as conn:
            assert (None, None) == (await queries.holder(conn, BOX, "x"), await queries.fingerprint_of(conn, "x"))

    async def test_does_not_open_in_another_users_row(self, world: World) -> None:
        bia, _ = await world.join("bia@example.com")
        await world.execute(
            "UPDATE user_documents AS a SET tax_id_sealed = b.tax_id_sealed FROM user_documents AS b"
            " WHERE a.user_id <> b.user_id"
        )

        async with world.engine.connect() as conn:
            with pytest.raises(SealBroken):
                await queries.holder(conn, BOX, bia)

    async def test_needs_a_user(self, world: World) -> None:
        async with world.engine.connect() as conn:
            with pytest.raises(NotFound):
                await writes.verify(
                    conn,
                    BOX,
                    user_id="x",
                    holder=Holder(fresh_cpf(), "Bia"),
                    masked="***",
                    evidence="t",
                    by=world.user_id,
                )


class TestFingerprint:
    @pytest.mark.parametrize("spelling", ["11144477735", "111.444.777-35", " 111444777-35 "])
    async def test_is_the_same_however_the_bank_spells_it(self, world: World, spelling: str) -> None:
        async with world.engine.connect() as conn:
            fingerprint = await queries.fingerprint_of(conn, world.user_id)

        assert fingerprint is not None
        assert same(BOX, fingerprint, spelling)

    def test_of_a_cnpj_does_not_mind_small_letters(self) -> None:
        assert same(BOX, tax_id_fingerprint(BOX, "12ABC34501DE35"), "12.abc.345/01de-35")

    @pytest.mark.parametrize("other", ["", "11144477736", "***.444.777-**", "1114447773", "111444777355"])
    def test_is_no_other_tax_ids_nor_a_masked_ones(self, other: str) -> None:
        assert not same(BOX, tax_id_fingerprint(BOX, ANA.holder_tax_id), other)

    def test_is_not_that_of_the_pix_key_with_the_same_digits(self) -> None:
        assert BOX.fingerprint(ANA.holder_tax_id) != tax_id_fingerprint(BOX, ANA.holder_tax_id)


class TestAcceptance:
    async def test_without_naming_bank_data_takes_the_primary(self, world: World) -> None:
        trade = await world.accept(await world.quote(Funding.DEPOSIT, COIN), primary=True)

        assert world.bank_data_id == await world.scalar(
            f"SELECT bank_data_id FROM instant_trades WHERE id = '{trade}'"
        )

    async def test_that_is_refused_leaves_nothing(self, world: World) -> None:
        quote = await world.quote(Funding.DEPOSIT, COIN)

        with pytest.raises(KeyTooNew):
            await world.accept(quote, new_key=NewKeyRule(86_400, quote.total_centavos - 1))

        assert [] == await world.trade_ids()
        assert await world.accept(quote, new_key=NewKeyRule(86_400, quote.total_centavos))
