"""Whatever the owner of the tables changes behind the ledger's back is found, and the row is named."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from activities.ledger import seal_now
from liquida.database import engine as make_engine
from liquida.stack.postgres import Postgres
from models.errors import InvalidInput
from models.ledger.chart import Purpose, available, custody, held, house
from models.ledger.post import post_alone
from models.ledger.types import Kind, Posting, Transaction, move
from models.ledger.verify import FINDINGS_MOST, verify
from tests.models.test_ledger_seal import prove
from tests.models.world import COIN, ETH, World
from tests.parts import create_database, drop_database

TABLES = (
    "ledger_accounts",
    "ledger_transactions",
    "ledger_postings",
    "ledger_seals",
    "ledger_snapshots",
    "ledger_clock",
)
CUSTODY, DESK, FEES = custody("ethereum", ETH.id), house(Purpose.DESK, ETH.id), house(Purpose.FEES, ETH.id)

THE_HOLD = "(SELECT id FROM ledger_transactions WHERE key = 't/hold')"
HASHED = """
UPDATE ledger_transactions AS t SET content_hash = c.hash
    FROM (
        SELECT t.id, sha256(convert_to(t.kind || E'\\n' || t.reference || E'\\n' || coalesce(t.reason, '') || string_agg(
                   E'\\n' || coalesce(a.owner, '') || E'\\t' || a.asset_id || E'\\t' || a.purpose || E'\\t' || p.amount, ''
                   ORDER BY a.asset_id COLLATE "C", a.purpose COLLATE "C", coalesce(a.owner, '') COLLATE "C"),
               'UTF8')) AS hash
            FROM ledger_transactions AS t JOIN ledger_postings AS p ON p.transaction_id = t.id
            JOIN ledger_accounts AS a ON a.id = p.account_id GROUP BY t.id
    ) AS c WHERE c.id = t.id
"""
"""Every content hash made anew, by the rule in ``ledger_post``."""

ALL_BALANCES = """
UPDATE ledger_postings AS p SET balance_after = s.units FROM (
    SELECT transaction_id, account_id,
           sum(amount) OVER (PARTITION BY account_id ORDER BY recorded_at, transaction_id) AS units
        FROM ledger_postings) AS s
    WHERE (s.transaction_id, s.account_id) = (p.transaction_id, p.account_id) AND p.balance_after IS NOT NULL;
UPDATE ledger_accounts AS a SET balance = s.units, moved_at = s.moved_at FROM (
    SELECT account_id, sum(amount) AS units, max(recorded_at) AS moved_at FROM ledger_postings GROUP BY account_id) AS s
    WHERE s.account_id = a.id AND a.is_constrained
"""
SEALED_ANEW = """
DELETE FROM ledger_seals;
DELETE FROM ledger_snapshots;
SELECT ledger_seal(10000)
"""
BACK_DATED = """
INSERT INTO ledger_transactions (key, kind, reference, content_hash, recorded_at)
    SELECT 'forged', kind, reference, content_hash, recorded_at + interval '1 microsecond'
    FROM ledger_transactions WHERE key = 'fee/1';
INSERT INTO ledger_postings (transaction_id, account_id, amount, recorded_at)
    SELECT f.id, p.account_id, p.amount, f.recorded_at
    FROM ledger_postings AS p JOIN ledger_transactions AS t ON t.id = p.transaction_id AND t.key = 'fee/1',
         ledger_transactions AS f WHERE f.key = 'forged'
"""


@dataclass(frozen=True)
class Forgery:
    """What was done, and the beginning of the first sentence that says so, or a part of it."""

    name: str
    statements: str
    first: str
    also: str = ""


HOLD, SEAL = "transaction {hold} (key t/hold)", "seal 2 (until "
FORGERIES = (
    Forgery(
        "an amount",
        f"UPDATE ledger_postings SET amount = amount - 1 WHERE transaction_id = {THE_HOLD} AND amount > 0",
        HOLD,
        "its postings of ETH.ethereum sum to -1",
    ),
    Forgery(
        "both amounts",
        f"UPDATE ledger_postings SET amount = amount * 5 WHERE transaction_id = {THE_HOLD}",
        HOLD,
        "below zero",
    ),
    Forgery(
        "both amounts, the balances and the content hash",
        f"UPDATE ledger_postings SET amount = amount * 2 WHERE transaction_id = {THE_HOLD}; {ALL_BALANCES}; {HASHED}",
        SEAL,
        "hash",
    ),
    Forgery(
        "a balance after",
        f"UPDATE ledger_postings SET balance_after = 1 WHERE transaction_id = {THE_HOLD} AND amount < 0",
        HOLD,
    ),
    Forgery(
        "a balance after of the house",
        "UPDATE ledger_postings SET balance_after = 9 WHERE amount < 0 AND transaction_id ="
        " (SELECT id FROM ledger_transactions WHERE key = 'fee/1')",
        "transaction {fee} (key fee/1)",
    ),
    Forgery("a reason", "UPDATE ledger_transactions SET reason = 'lunch' WHERE key = 't/hold'", HOLD),
    Forgery("a reference", "UPDATE ledger_transactions SET reference = 'u' WHERE key = 't/hold'", HOLD),
    Forgery(
        "a reason and the content hash",
        f"UPDATE ledger_transactions SET reason = 'lunch' WHERE key = 't/hold'; {HASHED}",
        SEAL,
    ),
    Forgery("a key", "UPDATE ledger_transactions SET key = 'u/hold' WHERE key = 't/hold'", SEAL),
    Forgery(
        "an account's owner",
        "UPDATE ledger_accounts SET owner = (SELECT id FROM users WHERE id <> owner LIMIT 1) WHERE purpose = 'held'",
        HOLD,
    ),
    Forgery(
        "a transaction gone",
        f"DELETE FROM ledger_postings WHERE transaction_id = {THE_HOLD}; DELETE FROM ledger_transactions WHERE key = 't/hold'",
        SEAL,
        "transaction {release} (key t/release): account ",
    ),
    Forgery(
        "a transaction gone, and the balances made to fit",
        "DELETE FROM ledger_postings WHERE transaction_id = (SELECT id FROM ledger_transactions WHERE key = 'fee/2');"
        f" DELETE FROM ledger_transactions WHERE key = 'fee/2'; {ALL_BALANCES}",
        SEAL,
        "2 transactions, and there are 1",
    ),
    Forgery(
        "a transaction without its postings",
        f"DELETE FROM ledger_postings WHERE transaction_id = {THE_HOLD}",
        "transaction {hold} (key t/hold): it has no postings",
    ),
    Forgery(
        "postings without their transaction",
        "DELETE FROM ledger_transactions WHERE key = 'tail'",
        "account ",
        "there is no such transaction",
    ),
    Forgery(
        "postings to no account",
        "UPDATE ledger_postings SET account_id = 999 WHERE amount < 0 AND transaction_id ="
        " (SELECT id FROM ledger_transactions WHERE key = 'fee/1')",
        "transaction {fee} (key fee/1): it moves account 999, which does not exist",
    ),
    Forgery("a transaction dated back", BACK_DATED, "seal 1 (until ", "3 transactions, and there are 4"),
    Forgery(
        "a balance",
        "UPDATE ledger_accounts SET balance = balance + 1 WHERE purpose = 'held'",
        "account ",
        "held ETH.ethereum",
    ),
    Forgery(
        "a balance of the house",
        "UPDATE ledger_accounts SET balance = 1, is_constrained = false WHERE purpose = 'fees'",
        "account ",
        "fees",
    ),
    Forgery(
        "a time of the last movement",
        "UPDATE ledger_accounts SET moved_at = now() WHERE purpose = 'held'",
        "account ",
        "held ETH",
    ),
    Forgery(
        "a time",
        "UPDATE ledger_transactions SET recorded_at = recorded_at + interval '1 microsecond' WHERE key = 't/hold'",
        HOLD,
        SEAL,
    ),
    Forgery(
        "a time, and that of the postings",
        "UPDATE ledger_transactions SET recorded_at = recorded_at + interval '1 microsecond' WHERE key = 't/hold';"
        " UPDATE ledger_postings AS p SET recorded_at = t.recorded_at FROM ledger_transactions AS t WHERE t.id = p.transaction_id",
        SEAL,
    ),
    Forgery(
        "a time of a posting",
        f"UPDATE ledger_postings SET recorded_at = recorded_at + interval '1 day' WHERE transaction_id = {THE_HOLD}",
        HOLD,
    ),
    Forgery("a seal's hash", "UPDATE ledger_seals SET hash = sha256('x') WHERE number = 2", SEAL),
    Forgery("a seal's count", "UPDATE ledger_seals SET transactions = 7 WHERE number = 2", SEAL, "closed 7"),
    Forgery(
        "a seal's end",
        "UPDATE ledger_seals SET sealed_until = sealed_until + interval '1 microsecond' WHERE number = 2",
        SEAL,
        "no seal ends then",
    ),
    Forgery("a seal's number", "UPDATE ledger_seals SET number = 9 WHERE number = 3", "seal 9 (until "),
    Forgery("a seal gone", "DELETE FROM ledger_seals WHERE number = 2", "seal 3 (until "),
    Forgery(
        "seals in another order",
        "UPDATE ledger_seals SET sealed_until = (SELECT sealed_until FROM ledger_seals WHERE number = 1)"
        " - interval '1 microsecond' WHERE number = 2",
        SEAL,
        "the one before it ends at",
    ),
    Forgery(
        "a snapshot",
        "UPDATE ledger_snapshots SET balance = balance + 1 WHERE balance > 0",
        "snapshot of account ",
        "fees",
    ),
    Forgery("a snapshot gone", "DELETE FROM ledger_snapshots WHERE balance > 0", "snapshot of account ", "missing"),
    Forgery(
        "a snapshot's time",
        "UPDATE ledger_snapshots SET taken_at = taken_at + interval '1 day' WHERE balance > 0",
        "snapshot of account ",
        "no seal ends then",
    ),
    Forgery(
        "a snapshot of a user",
        "INSERT INTO ledger_snapshots SELECT a.id, s.sealed_until, 5 FROM ledger_accounts AS a, ledger_seals AS s WHERE a.purpose = 'held' AND s.number = 2",
        "snapshot of account ",
        "held",
    ),
    Forgery("the clock", "UPDATE ledger_clock SET closing_at = 'epoch'", "the ledger's clock"),
)


async def fill(world: World) -> None:
    """Three seals: a deposit, a fee, another; a hold and a fee; a release. Then one more, not sealed."""
    free, kept = available(world.user_id, ETH.id), held(world.user_id, ETH.id)
    await world.join("bia@example.com")

    async def write(*transactions: Transaction) -> None:
        for transaction in transactions:
            await post_alone(world.engine, transaction)

    await write(
        move("deposit/1", Kind.DEPOSIT, "deposit/1", CUSTODY, free, COIN),
        move("fee/1", Kind.NETWORK_FEE, "fee/1", DESK, FEES, 5),
        move("deposit/2", Kind.DEPOSIT, "deposit/2", CUSTODY, free, 2 * COIN),
    )
    await seal_now(world.engine)
    await write(
        move("t/hold", Kind.HOLD, "t", free, kept, COIN, reason="asked by phone — não"),
        move("fee/2", Kind.NETWORK_FEE, "fee/2", DESK, FEES, 7),
    )
    await seal_now(world.engine)
    release = (Posting(kept, -COIN), Posting(free, COIN - 3), Posting(FEES, 2), Posting(DESK, 1))
    await write(Transaction("t/release", Kind.RELEASE, "t", release))
    await seal_now(world.engine)
    await write(move("tail", Kind.DEPOSIT, "tail", CUSTODY, free, 11))


async def forge(world: World, statements: str) -> None:
    """As the owner of the tables, who can switch off every trigger."""
    async with world.as_owner() as conn:
        for statement in statements.split(";"):
            await conn.execute(text(statement))


@pytest.fixture(scope="module")
async def open_world(postgres_server: Postgres, template: str) -> AsyncIterator[World]:
    """One ledger for all forgeries, its triggers off and a copy of it kept beside it."""
    url = await create_database(postgres_server.admin_url, "forged", template=template)
    engine = make_engine(url, pool=2)
    world = await World(engine).begin()
    await fill(world)
    async with world.as_owner() as conn:
        for table in TABLES:
            await conn.execute(text(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}"))
            await conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for table, constraint in (
            ("ledger_accounts", "ledger_accounts_balance_iff_constrained"),
            ("breaks", "fk_breaks_ledger_key_ledger_transactions"),
        ):
            await conn.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}"))
    yield world
    await engine.dispose()
    await drop_database(postgres_server.admin_url, "forged")


@pytest.fixture
async def filled(open_world: World) -> World:
    """The ledger as it was written, whatever the test before did to it."""
    async with open_world.as_owner() as conn:
        await conn.execute(text(f"TRUNCATE {', '.join(TABLES)}"))
        for table in TABLES:
            await conn.execute(text(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{table}"))
    return open_world


class TestVerify:
    async def test_finds_nothing_in_a_ledger_as_it_was_written(self, filled: World) -> None:
        heard: list[tuple[int, int]] = []

        async with filled.engine.connect() as conn:
            verdict = await verify(conn, lambda done, total: heard.append((done, total)))

        assert [] == verdict.findings
        assert (7, 16, 3, 0) == (verdict.transactions, verdict.postings, verdict.seals, verdict.bad)
        assert await filled.scalar("SELECT count(*) FROM ledger_snapshots") == verdict.snapshots > 5
        assert (7, 7) == heard[-1]

    async def test_finds_nothing_in_a_ledger_without_rows(self, world: World) -> None:
        verdict = await prove(world.engine)

        assert ([], 0, None) == (verdict.findings, verdict.transactions, verdict.anchor)

    @pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
    async def test_names_the_row_that_was_forged(self, filled: World, forgery: Forgery) -> None:
        ids = {
            name: await filled.scalar("SELECT id FROM ledger_transactions WHERE key = :key", key=key)
            for name, key in {"hold": "t/hold", "fee": "fee/1", "release": "t/release"}.items()
        }

        await forge(filled, forgery.statements)
        verdict = await prove(filled.engine)

        assert verdict.bad == len(verdict.findings) > 0
        assert verdict.findings[0].startswith(forgery.first.format(**ids)), verdict.findings
        assert any(forgery.also.format(**ids) in finding for finding in verdict.findings), verdict.findings

    async def test_names_a_wrong_seal_and_the_one_chained_to_it(self, filled: World) -> None:
        await forge(filled, "UPDATE ledger_seals SET hash = sha256('x') WHERE number = 1")
        verdict = await prove(filled.engine)

        assert ["seal 1", "seal 2"] == [finding[:6] for finding in verdict.findings]

    async def test_keeps_the_first_findings_and_counts_them_all(self, filled: World) -> None:
        fees = [move(f"f/{n}", Kind.NETWORK_FEE, "f", DESK, FEES, 5) for n in range(FINDINGS_MOST + 9)]
        await post_alone(filled.engine, *fees)

        await forge(filled, "UPDATE ledger_transactions SET reason = 'x' WHERE reference = 'f'")
        verdict = await prove(filled.engine)

        assert (FINDINGS_MOST + 9, FINDINGS_MOST) == (verdict.bad, len(verdict.findings))
        assert "(key f/0)" in verdict.findings[0]


class TestAnchor:
    async def test_is_what_the_seal_still_says(self, filled: World) -> None:
        anchor = (await prove(filled.engine)).anchor
        await seal_now(filled.engine)

        again = await prove(filled.engine, anchor)

        assert ([], 4) == (again.findings, again.seals)

    async def test_finds_a_past_rewritten_with_its_seals(self, filled: World) -> None:
        anchor = await filled.scalar("SELECT '1:' || encode(hash, 'hex') FROM ledger_seals WHERE number = 1")
        rewritten = f"UPDATE ledger_transactions SET reason = 'lunch' WHERE key = 't/hold'; {HASHED}; {SEALED_ANEW}"

        await forge(filled, rewritten)
        await seal_now(filled.engine)
        without, verdict = await prove(filled.engine), await prove(filled.engine, str(anchor))

        assert [] == without.findings
        assert 1 == verdict.bad
        assert verdict.findings[0].startswith("seal 1 (until ")
        assert verdict.findings[0].endswith("its hash is not the one that was kept: the past was written anew")

    async def test_finds_a_seal_that_is_gone(self, filled: World) -> None:
        anchor = (await prove(filled.engine)).anchor

        await forge(
            filled,
            "DELETE FROM ledger_snapshots WHERE taken_at = (SELECT max(sealed_until) FROM ledger_seals);"
            " DELETE FROM ledger_seals WHERE number = 3",
        )
        verdict = await prove(filled.engine, anchor)

        assert ["seal 3: its hash was kept, and it is missing"] == verdict.findings

    @pytest.mark.parametrize("anchor", ["", "3", "3:abc", f"x:{'0' * 64}", f"-1:{'0' * 64}", f"1:{'g' * 64}"])
    async def test_of_another_form_is_refused(self, filled: World, anchor: str) -> None:
        with pytest.raises(InvalidInput):
            await prove(filled.engine, anchor)
