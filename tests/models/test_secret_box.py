"""Personal data opens only where it was sealed, with the key it was sealed with."""

import asyncio
import base64

import pytest

from models.bank_data import writes as bank_data
from models.bank_data.types import BankData
from models.errors import NotFound, SealBroken
from models.secret_box import SecretBox
from tests.models.world import ANA, BOX, World

KEY = base64.b64encode(bytes(range(32))).decode()
PLACE = "user_bank_data/1/pix_key"


async def add(world: World, *, user: str | None = None, key: str = "other@example.com") -> BankData:
    payee = type(ANA)(key, "email", ANA.holder_name, ANA.holder_tax_id)
    async with world.engine.begin() as conn:
        return await bank_data.add(conn, BOX, user_id=user or world.user_id, payee=payee, masked="o***")


class TestSecretBox:
    @pytest.mark.parametrize("text", ["", "ana@example.com", "São Paulo ≥ 1", "x" * 10_000])
    def test_opens_what_it_sealed(self, text: str) -> None:
        box = SecretBox(KEY)

        assert text == box.open(box.seal(text, place=PLACE), place=PLACE)

    def test_seals_the_same_text_differently_each_time(self) -> None:
        box = SecretBox(KEY)

        assert box.seal("x", place=PLACE) != box.seal("x", place=PLACE)

    def test_does_not_open_what_was_moved(self) -> None:
        box = SecretBox(KEY)
        sealed = box.seal("x", place=PLACE)

        with pytest.raises(SealBroken):
            box.open(sealed, place="user_bank_data/2/pix_key")

    def test_does_not_open_with_another_key(self) -> None:
        sealed = SecretBox(KEY).seal("x", place=PLACE)

        with pytest.raises(SealBroken):
            BOX.open(sealed, place=PLACE)

    @pytest.mark.parametrize("damage", [b"", b"short", bytes(40)])
    def test_does_not_open_what_was_damaged(self, damage: bytes) -> None:
        with pytest.raises(SealBroken):
            SecretBox(KEY).open(damage, place=PLACE)

    def test_does_not_open_with_one_bit_changed(self) -> None:
        box = SecretBox(KEY)
        sealed = bytearray(box.seal("x", place=PLACE))
        sealed[-1] ^= 1

        with pytest.raises(SealBroken):
            box.open(bytes(sealed), place=PLACE)

    @pytest.mark.parametrize("key", ["", "not base64!", base64.b64encode(b"x" * 31).decode()])
    def test_takes_no_weak_key_and_does_not_repeat_it(self, key: str) -> None:
        with pytest.raises(SealBroken) as refusal:
            SecretBox(key)

        assert not key or key not in str(refusal.value)

    def test_fingerprints_by_key(self) -> None:
        assert SecretBox(KEY).fingerprint("x") == SecretBox(KEY).fingerprint("x")
        assert SecretBox(KEY).fingerprint("x") != BOX.fingerprint("x")


class TestBankData:
    async def test_comes_back_as_it_was_given(self, world: World) -> None:
        async with world.engine.connect() as conn:
            assert ANA == await bank_data.payee(conn, BOX, world.bank_data_id)

    async def test_is_unreadable_in_the_database(self, world: World) -> None:
        row = str(await world.scalar("SELECT user_bank_data::text FROM user_bank_data"))
        row += str(await world.scalar("SELECT user_documents::text FROM user_documents"))
        row += str(await world.scalar("SELECT user_document_history::text FROM user_document_history"))

        for secret in (ANA.pix_key, ANA.holder_name, ANA.holder_tax_id):
            assert secret not in row
            assert secret.encode().hex() not in row

    async def test_does_not_open_in_another_row(self, world: World) -> None:
        """Whoever swaps two users' PIX keys in the database gets no payout."""
        other = await add(world)
        await world.execute(
            "UPDATE user_bank_data AS a SET pix_key_sealed = b.pix_key_sealed FROM user_bank_data AS b"
            " WHERE a.id <> b.id"
        )

        for row in (other.id, world.bank_data_id):
            async with world.engine.connect() as conn:
                with pytest.raises(SealBroken):
                    await bank_data.payee(conn, BOX, row)

    async def test_does_not_open_in_another_column(self, world: World) -> None:
        await world.execute("UPDATE user_bank_data SET pix_key_sealed = tax_id_sealed")

        async with world.engine.connect() as conn:
            with pytest.raises(SealBroken):
                await bank_data.payee(conn, BOX, world.bank_data_id)

    async def test_of_one_key_is_one_row_however_many_add_it(self, world: World) -> None:
        rows = await asyncio.gather(*(add(world) for _ in range(8)))

        assert 1 == len({row.id for row in rows})

    async def test_removed_is_not_used_again_and_the_key_can_be_added_anew(self, world: World) -> None:
        first = await add(world)
        async with world.engine.begin() as conn:
            await bank_data.remove(conn, bank_data_id=first.id, user_id=world.user_id)
            with pytest.raises(NotFound):
                await bank_data.remove(conn, bank_data_id=first.id, user_id=world.user_id)

        second = await add(world)

        async with world.engine.connect() as conn:
            listed = [row.id for row in await bank_data.of_user(conn, world.user_id)]
            paid = await bank_data.payee(conn, BOX, first.id)
        assert [world.bank_data_id, second.id] == listed
        assert "other@example.com" == paid.pix_key

    async def test_is_its_users_alone(self, world: World) -> None:
        stranger, _ = await world.join("bia@example.com")

        async with world.engine.connect() as conn:
            with pytest.raises(NotFound):
                await bank_data.remove(conn, bank_data_id=world.bank_data_id, user_id=stranger)
