"""Chats, files and disputes of P2P trades at the door: who sees and does what, and what a pack proves."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from api.middleware import BODY_BYTES_MOST
from models.evidence_pack.verify import verify
from models.inbound_webhook import writes as webhooks
from models.p2p_dispute.types import DisputeRules
from models.p2p_file.types import FILE_BYTES_MOST
from models.p2p_message.types import ChatRules
from models.p2p_trade.types import P2PTrade
from models.user.types import Role
from tests.api.door import API, BOX, Door, Person, problem
from tests.models.p2p_books import open_trade, pay
from tests.models.test_evidence_pack import SIGNER

TRADES, OPS = f"{API}/p2p/trades", f"{API}/ops/p2p-disputes"
ALONE = DisputeRules(alone_most_centavos=10**12)
TOGETHER = DisputeRules(alone_most_centavos=0)
PNG = b"\x89PNG\r\n\x1a\npicture"
OPENING = {"reason": "paid_not_released", "statement": "I paid at noon"}
RULING = {"buyer_bps": 10_000, "reason": "payment_proven", "text": "the receipt is good"}
RIGHT, WRONG = {201, 200}, {404}


@dataclass
class Case:
    """Two who trade, arbiters, and others; the buyer has said that they paid."""

    door: Door
    trade: P2PTrade
    buyer: Person
    seller: Person
    arbiters: list[Person]
    reader: Person
    id: str = ""

    @property
    def path(self) -> str:
        return f"{TRADES}/{self.trade.id}"

    async def say(self, person: Person, text: str = "Hello", **more: Any) -> httpx.Response:
        return await self.door.post(person, f"{self.path}/messages", {"text": text}, **more)

    async def send(self, person: Person, body: bytes = PNG, kind: str = "image/png") -> httpx.Response:
        headers = {
            "authorization": f"Bearer {person.key}",
            "idempotency-key": secrets.token_hex(8),
            "content-type": kind,
        }
        return await self.door.http.post(f"{self.path}/files", content=body, headers=headers)

    async def do(self, person: Person, what: str = "", body: Any = None) -> httpx.Response:
        """A party's command about the dispute."""
        return await self.door.post(person, f"{self.path}/dispute{what}", body)

    async def open(self, **more: Any) -> dict[str, Any]:
        reply = await self.do(self.buyer, "", OPENING | more)
        assert 201 == reply.status_code, reply.text
        self.id = reply.json()["id"]
        return reply.json()  # type: ignore[no-any-return]

    async def judge(self, person: Person, what: str, **body: Any) -> httpx.Response:
        return await self.door.post(person, f"{OPS}/{self.id}/{what}", body)

    async def record(self) -> dict[str, Any]:
        reply = await self.door.get(self.reader, f"{OPS}/{self.id}")
        assert 200 == reply.status_code, reply.text
        return reply.json()  # type: ignore[no-any-return]


async def case_of(door: Door, *, paid: bool = True) -> Case:
    buyer, seller = await door.person(), await door.person()
    trade = await open_trade(door.engine, seller=seller.id, buyer=buyer.id)
    if paid:
        trade = await pay(door.engine, trade.id)
    arbiters = [await door.person(role=Role.ARBITER) for _ in range(3)]
    return Case(door, trade, buyer, seller, arbiters, await door.person(role=Role.ARBITER_READ))


@pytest.fixture
async def ruled(door: Door) -> AsyncIterator[Door]:
    """The API where one arbiter may rule alone, with a key for evidence packs."""
    async with door.other(p2p_disputes=ALONE, evidence=SIGNER) as other:
        yield other


@pytest.fixture
async def case(ruled: Door) -> Case:
    return await case_of(ruled)


class TestChat:
    async def test_is_between_the_two(self, case: Case) -> None:
        said = await case.say(case.buyer, "I paid")
        await case.say(case.seller, "Let me see")

        page = (await case.door.get(case.seller, f"{case.path}/messages")).json()

        assert (201, "buyer", 1) == (said.status_code, said.json()["sender"], said.json()["number"])
        assert [("buyer", "I paid"), ("seller", "Let me see")] == [(m["sender"], m["text"]) for m in page["messages"]]
        assert page["next_cursor"] is None

    async def test_is_read_on_from_the_last_message_that_one_has(self, case: Case) -> None:
        for number in range(5):
            await case.say(case.buyer, f"line {number}")

        seen, cursor = [], 0
        while cursor is not None:
            params = {"limit": "2", "cursor": str(cursor)}
            page = (await case.door.get(case.buyer, f"{case.path}/messages", params=params)).json()
            seen += [message["text"] for message in page["messages"]]
            cursor = page["next_cursor"]

        assert [f"line {number}" for number in range(5)] == seen

    async def test_takes_a_message_sent_again_once(self, case: Case) -> None:
        first, second = [await case.say(case.buyer, key="same-key") for _ in range(2)]

        assert first.json() == second.json()
        assert 1 == len((await case.door.get(case.buyer, f"{case.path}/messages")).json()["messages"])

    async def test_is_kept_in_clear_nowhere(self, case: Case) -> None:
        """Not beside the sealed rows either: what answers a repeated request is sealed as well."""
        words = f"words {secrets.token_hex(8)}"
        first, again = [await case.say(case.buyer, words, key="the-key") for _ in range(2)]
        opened = [
            await case.door.post(case.buyer, f"{case.path}/dispute", OPENING | {"statement": words}, key="k2")
            for _ in range(2)
        ]
        case.id = opened[0].json()["id"]
        ruled = [
            await case.door.post(case.arbiters[0], f"{OPS}/{case.id}/rule", RULING | {"text": words}, key="k3")
            for _ in range(2)
        ]

        async with case.door.engine.connect() as conn:
            tables = (
                await conn.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            ).scalars()
            found = []
            for table in tables.all():
                hits = await conn.exec_driver_sql(
                    f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%%{words}%%'"
                )
                found += [table] * hits.scalar_one()

        assert [] == found
        for one, other in ((first, again), opened, ruled):
            assert (one.status_code, one.json()) == (other.status_code, other.json())
            assert ("idempotency-replayed" in one.headers, "idempotency-replayed" in other.headers) == (False, True)

    @pytest.mark.parametrize("text", ["", " \n", "a\x00b", "x" * 2001], ids=["empty", "blank", "nul", "long"])
    async def test_takes_no_strange_text(self, case: Case, text: str) -> None:
        problem(await case.say(case.buyer, text), "invalid-input", field="text")

    async def test_slows_down_who_writes_too_fast(self, case: Case) -> None:
        async with case.door.other(chat=ChatRules(most_per_minute=2)) as slow:
            case.door = slow
            replies = await asyncio.gather(*(case.say(case.buyer, str(number)) for number in range(4)))

        refused = [reply for reply in replies if reply.status_code == 429]
        assert {201: 2, 429: 2} == Counter(reply.status_code for reply in replies)
        assert int(refused[0].headers["retry-after"]) > 0
        problem(refused[0], "too-many-messages")


class TestFile:
    async def test_is_handed_out_as_a_download_and_nothing_else(self, case: Case) -> None:
        kept = await case.send(case.buyer)
        found = await case.door.get(case.seller, f"{case.path}/files/{kept.json()['id']}")

        assert (201, "image/png") == (kept.status_code, kept.json()["media_type"])
        assert PNG == found.content
        assert {
            "content-type": "image/png",
            "content-disposition": f'attachment; filename="{kept.json()["id"]}.png"',
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'; sandbox",
            "cache-control": "private, no-store",
        }.items() <= dict(found.headers).items()
        line = (await case.door.get(case.seller, f"{case.path}/messages")).json()["messages"][0]
        assert ("file", kept.json()) == (line["kind"], line["file"])

    @pytest.mark.parametrize(
        ("body", "kind", "field"),
        [
            (b"<html><script>", "image/png", "body"),
            (PNG, "application/pdf", "Content-Type"),
            (PNG, "text/html", "Content-Type"),
            (b"", "image/png", "body"),
        ],
        ids=["html", "pdf", "said html", "empty"],
    )
    async def test_is_what_it_says_it_is(self, case: Case, body: bytes, kind: str, field: str) -> None:
        problem(await case.send(case.buyer, body, kind), "invalid-input", field=field)

    async def test_may_be_large_and_not_larger(self, case: Case) -> None:
        largest = PNG + bytes(FILE_BYTES_MOST - len(PNG))

        kept, too_large = await case.send(case.buyer, largest), await case.send(case.buyer, largest + b"x")
        message = await case.say(case.buyer, "x" * BODY_BYTES_MOST)

        assert (201, FILE_BYTES_MOST) == (kept.status_code, kept.json()["size_bytes"])
        problem(too_large, "payload-too-large")
        problem(message, "payload-too-large")

    async def test_of_a_stranger_is_not_even_read(self, case: Case) -> None:
        """The body never ends: whoever waited for it would wait for ever."""

        async def endless() -> AsyncIterator[bytes]:
            yield PNG
            await asyncio.Event().wait()

        stranger = await case.door.person()
        headers = {"authorization": f"Bearer {stranger.key}", "idempotency-key": "k", "content-type": "image/png"}

        async with asyncio.timeout(10):
            reply = await case.door.http.post(f"{case.path}/files", content=endless(), headers=headers)

        problem(reply, "not-found")

    async def test_needs_a_key_like_every_post_whosoever_sends_it(self, case: Case) -> None:
        for person in (case.buyer, await case.door.person()):
            headers = {"authorization": f"Bearer {person.key}", "content-type": "image/png"}

            reply = await case.door.http.post(f"{case.path}/files", content=PNG, headers=headers)

            problem(reply, "invalid-input", field="Idempotency-Key")


class TestDispute:
    async def test_is_opened_with_words_and_files_and_freezes_the_trade(self, case: Case) -> None:
        file_id = (await case.send(case.buyer)).json()["id"]

        shown = await case.open(file_ids=[file_id])

        assert ("open", "buyer", "paid_not_released") == (shown["status"], shown["opened_by"], shown["reason"])
        assert [("buyer", "I paid at noon", [file_id])] == [
            (said["by"], said["text"], said["file_ids"]) for said in shown["statements"]
        ]
        trade = (await case.door.get(case.seller, case.path)).json()
        assert "disputed" == trade["status"]
        problem(await case.do(case.seller, "", OPENING), "illegal-transition")

    async def test_takes_no_files_of_other_trades(self, case: Case) -> None:
        other = await case_of(case.door)
        file_id = (await other.send(other.buyer)).json()["id"]

        problem(await case.do(case.buyer, "", OPENING | {"file_ids": [file_id]}), "not-found")

        log = (await case.door.get(case.buyer, f"{case.path}/audit-log")).json()
        assert "payment_sent" == log[-1]["new_status"]

    @pytest.mark.parametrize(
        "change",
        [{"reason": "not_confirmed_in_time"}, {"reason": "x"}, {"statement": " "}, {"statement": "x" * 5001}],
        ids=["systems", "unknown", "blank", "long"],
    )
    async def test_is_not_opened_strangely(self, case: Case, change: dict[str, str]) -> None:
        problem(await case.do(case.buyer, "", OPENING | change), "invalid-input")

    async def test_before_the_buyer_paid_is_none(self, ruled: Door) -> None:
        case = await case_of(ruled, paid=False)

        problem(await case.do(case.seller, "", OPENING), "illegal-transition")
        problem(await case.door.get(case.seller, f"{case.path}/dispute"), "not-found")

    async def test_goes_from_ruling_to_appeal_to_its_end(self, case: Case) -> None:
        await case.open()
        first = await case.judge(case.arbiters[0], "rule", **RULING)
        seen = (await case.door.get(case.seller, f"{case.path}/dispute")).json()
        appealed = await case.do(case.seller, "/appeal", {"statement": "that receipt is of another day"})
        again = await case.judge(case.arbiters[0], "rule", **RULING)
        last = await case.judge(case.arbiters[1], "rule", **RULING | {"buyer_bps": 2_500})

        assert ("ruled", "appealed") == (first.json()["status"], appealed.json()["status"])
        assert [(10_000, "the receipt is good")] == [(r["buyer_bps"], r["text"]) for r in seen["rulings"]]
        assert seen["deadline_at"] is not None
        problem(again, "forbidden")
        assert ("closed", 2_500, "split") == (
            last.json()["status"],
            last.json()["buyer_bps"],
            last.json()["trade"]["status"],
        )

    async def test_never_tells_the_parties_who_judges(self, case: Case) -> None:
        await case.open()
        await case.judge(case.arbiters[0], "rule", **RULING)

        shown = await case.door.get(case.buyer, f"{case.path}/dispute")

        assert "arbiter" in {step["by"] for step in shown.json()["history"]}
        assert not any(person.id in shown.text for person in case.arbiters)

    async def test_over_much_needs_two_and_shows_no_proposal_to_the_parties(self, case: Case) -> None:
        async with case.door.other(p2p_disputes=TOGETHER) as strict:
            case.door = strict
            await case.open()
            proposed = (await case.judge(case.arbiters[0], "rule", **RULING)).json()
            ruling = {"ruling_id": proposed["rulings"][0]["id"]}
            seen = (await case.door.get(case.buyer, f"{case.path}/dispute")).json()
            own = await case.judge(case.arbiters[0], "approve", **ruling)
            no = await case.judge(case.arbiters[1], "reject", **ruling, why="the receipt is of another day")
            late = await case.judge(case.arbiters[2], "approve", **ruling)
            second = (await case.judge(case.arbiters[1], "rule", **RULING)).json()["rulings"][-1]
            yes = await case.judge(case.arbiters[0], "approve", ruling_id=second["id"])

        assert ("proposed", []) == (seen["status"], seen["rulings"])
        problem(own, "forbidden")
        problem(late, "illegal-transition")
        assert ("open", "ruled") == (no.json()["status"], yes.json()["status"])
        assert ["rejected", "approved"] == [ruling["fate"] for ruling in yes.json()["rulings"]]

    async def test_ends_by_an_accepted_proposal(self, case: Case) -> None:
        await case.open()
        offered = (await case.do(case.seller, "/settle", {"buyer_bps": 4_000})).json()["proposals"][0]
        own = await case.do(case.seller, f"/settle/{offered['id']}/accept")
        done = await case.do(case.buyer, f"/settle/{offered['id']}/accept")

        assert (True, "seller") == (offered["stands"], offered["by"])
        problem(own, "not-found")
        assert ("settled", 4_000, False) == (
            done.json()["status"],
            done.json()["buyer_bps"],
            done.json()["proposals"][0]["stands"],
        )

    @pytest.mark.parametrize("body", [{}, {"buyer_bps": 5, "concede": True}, {"buyer_bps": 0}, {"buyer_bps": 10_000}])
    async def test_is_settled_by_clear_words_only(self, case: Case, body: dict[str, Any]) -> None:
        await case.open()

        problem(await case.do(case.buyer, "/settle", body), "invalid-input")

    async def test_is_found_by_arbiters_with_all_there_is(self, case: Case) -> None:
        await case.say(case.buyer, "Hello")
        await case.open()
        path = {"state": "open", "reason": "paid_not_released", "limit": "200"}

        page = (await case.door.get(case.arbiters[0], OPS, params=path)).json()
        old = (await case.door.get(case.arbiters[0], OPS, params=path | {"older_than": "1"})).json()
        record = await case.record()

        mine = [found for found in page["disputes"] if found["id"] == case.id]
        assert [("15000.00", "ETH.ethereum")] == [(found["total"], found["asset"]) for found in mine]
        assert case.id not in {found["id"] for found in old["disputes"]}
        assert ["Hello"] == [message["text"] for message in record["chat"]]
        assert (case.buyer.id, "disputed") == (record["trade"]["buyer_id"], record["trade"]["status"])
        assert ["opened"] == [step["step"] for step in record["history"]]
        assert (None, f"p2p-dispute/{case.id}") == (record["temporal_ui"], record["workflow_id"])

    async def test_clicked_many_times_has_one_effect(self, case: Case) -> None:
        await case.open()

        replies = await asyncio.gather(*(case.do(case.buyer, "/settle", {"concede": True}) for _ in range(4)))

        assert {201: 1, 409: 3} == Counter(reply.status_code for reply in replies)


class TestPack:
    async def test_is_whole_and_the_same_for_all_who_may_have_it(self, case: Case) -> None:
        await case.say(case.buyer, "my very words")
        file = (await case.send(case.buyer)).json()
        await case.open(file_ids=[file["id"]])
        await case.do(case.buyer, "/settle", {"buyer_bps": 5_000})
        await case.judge(case.arbiters[0], "rule", **RULING)

        mine = await case.door.get(case.seller, f"{case.path}/dispute/evidence-pack")
        theirs = await case.door.get(case.reader, f"{OPS}/{case.id}/evidence-pack")

        verdicts = [verify(reply.content, public_key=SIGNER.public_key) for reply in (mine, theirs)]
        assert [(), ()] == [verdict.findings for verdict in verdicts]
        assert verdicts[0].statement["head"] == verdicts[1].statement["head"]
        assert {
            "trade": 1,
            "trade_step": 3,
            "message": 2,
            "file": 1,
            "statement": 1,
            "settlement_offer": 1,
            "ruling": 1,
            "dispute_step": 3,
        } == verdicts[0].kinds
        assert b"my very words" in mine.content
        assert file["sha256"].encode() in mine.content
        assert PNG in mine.content
        assert not any(person.id.encode() in mine.content for person in case.arbiters)
        assert ("application/zip", "nosniff") == (
            mine.headers["content-type"],
            mine.headers["x-content-type-options"],
        )

    async def test_shows_no_proposal_that_does_not_hold(self, case: Case) -> None:
        async with case.door.other(p2p_disputes=TOGETHER) as strict:
            case.door = strict
            await case.open()
            await case.judge(case.arbiters[0], "rule", **RULING | {"text": "only a proposal"})

            pack = await case.door.get(case.buyer, f"{case.path}/dispute/evidence-pack")

        assert b"only a proposal" not in pack.content

    async def test_names_a_broken_byte(self, case: Case) -> None:
        await case.say(case.buyer, "my very words")
        await case.open()
        pack = (await case.door.get(case.buyer, f"{case.path}/dispute/evidence-pack")).content

        verdict = verify(pack.replace(b"my very words", b"my very wirds"))

        assert 1 == len(verdict.findings)
        assert verdict.findings[0].endswith("was changed")

    async def test_is_not_made_without_a_key(self, case: Case) -> None:
        await case.open()
        async with case.door.other(evidence=None) as keyless:
            problem(await keyless.get(case.buyer, f"{case.path}/dispute/evidence-pack"), "evidence-unavailable")

    async def test_has_the_banks_words_by_their_hash(self, case: Case) -> None:
        await case.open()
        async with case.door.engine.begin() as conn:
            await conn.exec_driver_sql(
                "INSERT INTO charges (key, user_id, provider, amount_centavos, expires_at, accepts_until, watched_until)"
                f" VALUES ('{case.trade.id}', '{case.buyer.id}', 'sandbox', 1, now(), now(), now())"
            )
            await webhooks.keep(
                conn,
                BOX,
                provider="sandbox",
                event_id=secrets.token_hex(8),
                key=case.trade.id,
                state="paid",
                body=b'{"payer": "Ana Beatriz"}',
            )

        pack = await case.door.get(case.buyer, f"{case.path}/dispute/evidence-pack")
        record = await case.record()

        assert 1 == verify(pack.content).kinds["bank_webhook"]
        assert b"Ana Beatriz" not in pack.content
        assert ["paid"] == [told["state"] for told in record["bank_webhooks"]]


WHO = (
    "buyer",
    "stranger",
    "operator",
    "arbiter",
    "arbiter_read",
    "admin",
    "party who arbitrates",
    "anonymous",
)
_PARTY = {"buyer", "party who arbitrates"}
_JUDGE = {"arbiter", "admin"}
_READER = _JUDGE | {"arbiter_read"}


def expect(allowed: set[str], refusal: int) -> dict[str, int | None]:
    """None: allowed."""
    return {who: None if who in allowed else 401 if who == "anonymous" else refusal for who in WHO}


ENDPOINTS: dict[str, tuple[str, str, Any, dict[str, int | None]]] = {
    "read chat": ("GET", "{trade}/messages", None, expect(_PARTY | _READER, 404)),
    "write": ("POST", "{trade}/messages", {"text": "Hi"}, expect(_PARTY, 404)),
    "attach": ("FILE", "{trade}/files", PNG, expect(_PARTY, 404)),
    "download": ("GET", "{trade}/files/{file}", None, expect(_PARTY | _READER, 404)),
    "see dispute": ("GET", "{trade}/dispute", None, expect(_PARTY, 404)),
    "open": ("POST", "{trade}/dispute", OPENING, expect(_PARTY, 404)),
    "state": ("POST", "{trade}/dispute/statements", {"statement": "more"}, expect(_PARTY, 404)),
    "settle": ("POST", "{trade}/dispute/settle", {"buyer_bps": 5}, expect(_PARTY, 404)),
    "accept proposal": ("POST", "{trade}/dispute/settle/{zero}/accept", None, expect(_PARTY, 404)),
    "accept ruling": ("POST", "{trade}/dispute/accept-ruling", None, expect(_PARTY, 404)),
    "appeal": ("POST", "{trade}/dispute/appeal", {"statement": "no"}, expect(_PARTY, 404)),
    "own pack": ("GET", "{trade}/dispute/evidence-pack", None, expect(_PARTY, 404)),
    "list": ("GET", OPS, None, expect(_READER | {"party who arbitrates"}, 403)),
    "read": ("GET", "{ops}", None, expect(_READER, 403)),
    "pack": ("GET", "{ops}/evidence-pack", None, expect(_READER, 403)),
    "rule": ("POST", "{ops}/rule", RULING, expect(_JUDGE, 403)),
    "approve": ("POST", "{ops}/approve", {"ruling_id": "0" * 32}, expect(_JUDGE, 403)),
    "reject": ("POST", "{ops}/reject", {"ruling_id": "0" * 32, "why": "ticket 4711"}, expect(_JUDGE, 403)),
}
ANSWERED = {"open": {409}, "accept proposal": {404}, "accept ruling": {409}, "appeal": {409}, "approve": {409}}
ANSWERED["reject"] = {409}
"""What those are told who may, where the dispute is in another state: not that they may not."""


class TestRights:
    """Every endpoint for everybody, while a dispute is open."""

    @pytest.fixture
    async def people(self, ruled: Door) -> tuple[Case, dict[str, Person | None]]:
        case = await case_of(ruled)
        case.seller = case.arbiters[2]
        case.trade = await open_trade(ruled.engine, seller=case.seller.id, buyer=case.buyer.id)
        await pay(ruled.engine, case.trade.id)
        return case, {
            "buyer": case.buyer,
            "party who arbitrates": case.seller,
            "stranger": await ruled.person(),
            "operator": await ruled.person(role=Role.OPERATOR),
            "arbiter": case.arbiters[0],
            "arbiter_read": case.reader,
            "admin": await ruled.person(role=Role.ADMIN),
            "anonymous": None,
        }

    @pytest.mark.parametrize("name", list(ENDPOINTS))
    async def test_are_as_the_table_says(self, people: tuple[Case, dict[str, Person | None]], name: str) -> None:
        case, by_name = people
        file_id = (await case.send(case.buyer)).json()["id"]
        await case.open()
        method, path, body, expected = ENDPOINTS[name]
        address = path.format(trade=case.path, ops=f"{OPS}/{case.id}", file=file_id, zero="0" * 32)

        found = {}
        for who in WHO:
            person = by_name[who]
            headers = {} if person is None else {"authorization": f"Bearer {person.key}"}
            if method != "GET":
                headers["idempotency-key"] = secrets.token_hex(8)
            if method == "FILE":
                headers["content-type"] = "image/png"
                reply = await case.door.http.post(address, content=body, headers=headers)
            else:
                reply = await case.door.http.request(method, address, json=body, headers=headers)
            refused = {401, 403, 404} - (ANSWERED.get(name, set()) if expected[who] is None else set())
            found[who] = reply.status_code if reply.status_code in refused else None

        assert expected == found

    async def test_of_arbiters_begin_with_a_dispute(self, ruled: Door) -> None:
        case = await case_of(ruled)
        await case.say(case.buyer, "Hello")

        for person in (case.arbiters[0], case.reader):
            problem(await case.door.get(person, f"{case.path}/messages"), "not-found")

    async def test_list_shows_an_arbiter_no_dispute_of_their_own(
        self, people: tuple[Case, dict[str, Person | None]]
    ) -> None:
        case, _ = people
        await case.open()

        def ids(reply: httpx.Response) -> set[str]:
            return {found["id"] for found in reply.json()["disputes"]}

        own, other = [
            await case.door.get(who, OPS, params={"limit": "200"}) for who in (case.seller, case.arbiters[0])
        ]
        assert (False, True) == (case.id in ids(own), case.id in ids(other))
