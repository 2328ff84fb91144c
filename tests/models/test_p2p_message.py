"""A chat keeps what was said, in its order, sealed, and lets nobody else in."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.errors import IllegalTransition, InvalidInput, LimitExceeded, NotFound, SealBroken, TooManyMessages
from models.p2p_file import queries as files
from models.p2p_file.rules import media_type_of
from models.p2p_file.types import FILES_MOST, MediaType, P2PFile
from models.p2p_file.writes import attach
from models.p2p_message import queries, writes
from models.p2p_message.types import ChatRules, MessageKind, P2PMessage
from models.p2p_trade.states import P2PTradeStatus
from models.p2p_trade.types import P2PTrade
from models.secret_box import SecretBox
from tests.models.p2p_books import move_to, open_trade, pay
from tests.models.p2p_disputes import person
from tests.models.world import BOX, World

RULES = ChatRules(most_per_minute=30)
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"
PDF = b"%PDF-1.7 paper"
OTHER_BOX = SecretBox("b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMDE=")


@pytest.fixture
def world(arena: World) -> World:
    """With a clock of the test's own."""
    return replace(arena, now=datetime.now(UTC))


@pytest.fixture
async def trade(world: World) -> P2PTrade:
    seller, buyer = await person(world), await person(world)
    return await open_trade(world.engine, seller=seller, buyer=buyer, auto_reply="Welcome!", now=world.now)


async def say(world: World, trade: P2PTrade, sender: str, words: str, rules: ChatRules = RULES) -> P2PMessage:
    async with world.engine.begin() as conn:
        return await writes.say(conn, BOX, trade.id, sender_id=sender, text=words, rules=rules, now=world.now)


async def send(world: World, trade: P2PTrade, user: str, body: bytes, said: str = "image/png") -> P2PFile:
    async with world.engine.begin() as conn:
        rules = ChatRules(most_per_minute=1000)
        return await attach(conn, BOX, trade.id, user_id=user, body=body, said=said, rules=rules, now=world.now)


async def chat(world: World, trade: P2PTrade) -> list[tuple[int, MessageKind, str]]:
    async with world.engine.connect() as conn:
        return [(m.number, m.kind, m.text) for m in await queries.everything(conn, BOX, trade.id)]


class TestChat:
    async def test_begins_with_what_the_maker_prepared(self, world: World, trade: P2PTrade) -> None:
        for _ in range(2):
            async with world.engine.begin() as conn:
                await writes.greet(conn, BOX, trade.id, now=world.now)
        await say(world, trade, trade.buyer_id, "Hello")

        assert [(1, "auto_reply", "Welcome!"), (2, "text", "Hello")] == await chat(world, trade)

    async def test_gives_each_line_one_number_however_many_write_at_once(self, world: World, trade: P2PTrade) -> None:
        people = [trade.buyer_id, trade.seller_id] * 5

        await asyncio.gather(*(say(world, trade, who, f"line {n}") for n, who in enumerate(people)))

        said = await chat(world, trade)
        assert list(range(1, 11)) == [number for number, _, _ in said]
        assert {f"line {n}" for n in range(10)} == {words for _, _, words in said}

    async def test_is_read_in_pages(self, world: World, trade: P2PTrade) -> None:
        for number in range(3):
            await say(world, trade, trade.buyer_id, str(number))

        async with world.engine.connect() as conn:
            first = await queries.page(conn, BOX, trade.id, limit=2)
            second = await queries.page(conn, BOX, trade.id, limit=2, after=first.next_number or 0)

        assert (["0", "1"], 2) == ([m.text for m in first.messages], first.next_number)
        assert (["2"], None) == ([m.text for m in second.messages], second.next_number)

    async def test_is_sealed_where_it_lies(self, world: World, trade: P2PTrade) -> None:
        await say(world, trade, trade.buyer_id, "my secret words")

        kept = await world.scalar("SELECT text_sealed FROM p2p_messages WHERE trade_id = :id", id=trade.id)
        async with world.engine.connect() as conn:
            with pytest.raises(SealBroken):
                await queries.everything(conn, OTHER_BOX, trade.id)
        assert b"secret" not in bytes(kept)  # type: ignore[arg-type]

    async def test_takes_nobody_else(self, world: World, trade: P2PTrade) -> None:
        eve = await person(world)

        with pytest.raises(NotFound):
            await say(world, trade, eve, "Hi")

    async def test_bounds_the_messages_of_a_user_over_all_chats(self, world: World, trade: P2PTrade) -> None:
        second = await open_trade(world.engine, seller=trade.seller_id, buyer=trade.buyer_id)
        rules = ChatRules(most_per_minute=3)

        said = await asyncio.gather(
            *(say(world, each, trade.buyer_id, "x", rules) for each in (trade, second) * 4), return_exceptions=True
        )

        assert 5 == sum(isinstance(each, TooManyMessages) for each in said)
        await say(world, trade, trade.seller_id, "I may still", rules)
        world.now += timedelta(seconds=61)
        await say(world, trade, trade.buyer_id, "again", rules)

    async def test_closes_some_time_after_the_end(self, world: World, trade: P2PTrade) -> None:
        await move_to(world.engine, trade.id, P2PTradeStatus.CANCELLED, now=world.now)
        world.now += timedelta(seconds=RULES.open_seconds - 1)
        await say(world, trade, trade.buyer_id, "just in time")
        world.now += timedelta(seconds=1)

        with pytest.raises(IllegalTransition):
            await say(world, trade, trade.buyer_id, "late")

    @pytest.mark.parametrize("table", ["p2p_messages", "p2p_files"])
    async def test_is_never_changed(self, world: World, trade: P2PTrade, table: str) -> None:
        await send(world, trade, trade.buyer_id, PNG)

        for statement in (f"UPDATE {table} SET at = now()", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(DBAPIError, match="append-only"):
                await world.execute_as_owner(statement)

    async def test_tells_both_without_a_word_of_it(self, world: World, trade: P2PTrade) -> None:
        await say(world, trade, trade.buyer_id, "my secret words")

        async with world.engine.connect() as conn:
            said = text("SELECT user_id, payload::text FROM events WHERE kind = 'p2p_message'")
            told = {user: payload for user, payload in await conn.execute(said) if trade.id in payload}

        assert {trade.buyer_id, trade.seller_id} == set(told)
        assert not any("secret" in payload for payload in told.values())


class TestFile:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"\xff\xd8\xff\xe0rest", MediaType.JPEG),
            (PNG, MediaType.PNG),
            (b"RIFF\x01\x02\x03\x04WEBPVP8 ", MediaType.WEBP),
            (PDF, MediaType.PDF),
            (b"RIFF\x01\x02\x03\x04WAVEfmt ", None),
            (b"<svg onload=alert(1)>", None),
            (b"\x89PNG", None),
            (b" %PDF-1.7", None),
            (b"", None),
        ],
        ids=["jpeg", "png", "webp", "pdf", "wave", "svg", "short", "shifted", "empty"],
    )
    def test_is_what_its_first_bytes_say(self, body: bytes, expected: MediaType | None) -> None:
        assert expected == media_type_of(body)

    async def test_comes_back_as_it_was_and_is_a_line_of_the_chat(self, world: World, trade: P2PTrade) -> None:
        kept = await send(world, trade, trade.buyer_id, PNG)

        async with world.engine.connect() as conn:
            opened = await files.opened(conn, BOX, trade.id, kept.id)
            line = (await queries.everything(conn, BOX, trade.id))[0]
        assert (PNG, kept) == (opened.body, opened.file)
        assert (kept, MessageKind.FILE) == (line.file, line.kind)
        sealed = await world.scalar("SELECT body_sealed FROM p2p_files WHERE id = :id", id=kept.id)
        assert b"picture" not in bytes(sealed)  # type: ignore[arg-type]

    async def test_is_refused_when_its_header_says_otherwise(self, world: World, trade: P2PTrade) -> None:
        with pytest.raises(InvalidInput, match="application/pdf"):
            await send(world, trade, trade.buyer_id, PDF, "image/png")

    async def test_opens_in_its_own_trade_only(self, world: World, trade: P2PTrade) -> None:
        second = await open_trade(world.engine, seller=trade.seller_id, buyer=trade.buyer_id)
        kept = await send(world, trade, trade.buyer_id, PNG)

        async with world.engine.connect() as conn:
            with pytest.raises(NotFound):
                await files.opened(conn, BOX, second.id, kept.id)

    async def test_is_one_of_twenty_at_most(self, world: World, trade: P2PTrade) -> None:
        for number in range(FILES_MOST - 1):
            await send(world, trade, trade.buyer_id, PNG + bytes([number]))

        last = await asyncio.gather(
            *(send(world, trade, who, PNG) for who in (trade.buyer_id, trade.seller_id)), return_exceptions=True
        )

        assert 1 == sum(isinstance(each, LimitExceeded) for each in last)

    async def test_may_be_attached_before_the_buyer_pays_and_after(self, world: World, trade: P2PTrade) -> None:
        await send(world, trade, trade.buyer_id, PNG)
        await pay(world.engine, trade.id)

        await send(world, trade, trade.seller_id, PDF, "application/pdf; charset=binary")

        assert 2 == len(await chat(world, trade))
