"""A user's URL leads to the public internet, or nowhere; secrets overlap; endpoints that fail for days are disabled."""

from datetime import UTC, datetime, timedelta

import pytest

from models.errors import InvalidInput, LimitExceeded, NotFound, SealBroken
from models.event import queries as events
from models.event.types import EventKind
from models.webhook_endpoint import queries, writes
from models.webhook_endpoint.rules import is_public, require_url
from models.webhook_endpoint.types import WebhookEndpoint
from tests.models.world import BOX, World

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAYS = timedelta(days=5)

PRIVATE = (
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:7f00:1::",
    "fec0::1",
    "not an address",
    "127.1",
    "0x7f000001",
    "2130706433",
)
PUBLIC = ("8.8.8.8", "1.1.1.1", "200.147.3.157", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")


class TestAddress:
    @pytest.mark.parametrize("address", PRIVATE)
    def test_of_a_network_of_its_own_is_not_public(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", PUBLIC)
    def test_of_the_internet_is_public(self, address: str) -> None:
        assert is_public(address)


class TestUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "https://example.com/hook?a=1",
            "https://example.com:8443/",
            "https://8.8.8.8/",
            "https://[2606:4700:4700::1111]/x",
        ],
    )
    def test_to_a_public_place_is_kept_as_it_is(self, url: str) -> None:
        assert url == require_url(url, allow_private=False)

    @pytest.mark.parametrize(
        "url",
        [
            "http://example.com/",
            "ftp://example.com/",
            "https://",
            "example.com",
            "https://user:password@example.com/",
            "https://user@example.com/",
            "https://example.com/#part",
            "https://example.com:0/",
            "https://example.com:99999/",
            "https://[::1/",
            "https://exa mple.com/",
            "https://example.com/\n",
            "https://exämple.com/",
            "https://example.com\\@127.0.0.1/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://postgres/",
            "https://metadata.google.internal/",
            "https://printer.local/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0x7f000001/",
            "https://1.0x7f/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://example.com/" + "x" * 1_000,
        ],
        ids=lambda url: url[:40].encode("unicode_escape").decode(),
    )
    def test_to_anywhere_else_is_refused(self, url: str) -> None:
        with pytest.raises(InvalidInput):
            require_url(url, allow_private=False)

    @pytest.mark.parametrize("allow_private", [False, True], ids=["public", "development"])
    @pytest.mark.parametrize(
        "host",
        ["a..example.com", ".example.com", "example.com..", ".", "a" * 64 + ".example.com", ".".join(["a" * 63] * 4)],
        ids=["empty", "empty-first", "empty-last", "dot", "long-label", "long-name"],
    )
    def test_to_a_name_that_no_resolver_takes_is_refused(self, host: str, allow_private: bool) -> None:
        with pytest.raises(InvalidInput):
            require_url(f"https://{host}/", allow_private=allow_private)

    @pytest.mark.parametrize(
        "host",
        ["a" * 63 + ".example.com", ".".join([*["a" * 63] * 3, "a" * 61]) + ".", "example.com."],
        ids=["long-label", "long-name", "root"],
    )
    def test_to_a_name_as_long_as_may_be_is_kept(self, host: str) -> None:
        assert f"https://{host}/" == require_url(f"https://{host}/", allow_private=False)

    def test_may_lead_anywhere_in_development(self) -> None:
        assert "http://127.0.0.1:1/" == require_url("http://127.0.0.1:1/", allow_private=True)


async def add(world: World, url: str = "https://example.com/") -> tuple[WebhookEndpoint, str]:
    async with world.engine.begin() as conn:
        kinds = [EventKind.P2P_MESSAGE]
        return await writes.add(conn, BOX, user_id=world.user_id, url=url, kinds=kinds, description="")


async def fail(world: World, endpoint: WebhookEndpoint, after: timedelta, *, is_taken: bool = False) -> None:
    async with world.engine.begin() as conn:
        await writes.note(conn, endpoint.id, is_taken=is_taken, now=NOW + after, disable_after=DAYS)


async def now_is(world: World, endpoint: WebhookEndpoint) -> WebhookEndpoint:
    async with world.engine.connect() as conn:
        return await queries.endpoint(conn, endpoint.id)


class TestSecret:
    async def test_is_sealed_and_bound_to_its_endpoint(self, world: World) -> None:
        one, secret = await add(world)
        two, _ = await add(world)
        sealed = await world.scalar("SELECT secret_sealed FROM webhook_endpoints WHERE id = :id", id=one.id)
        await world.execute(
            "UPDATE webhook_endpoints SET secret_sealed = :sealed WHERE id = :id", sealed=sealed, id=two.id
        )

        async with world.engine.connect() as conn:
            assert [secret] == await queries.secrets(conn, BOX, one.id, now=NOW)
            with pytest.raises(SealBroken):
                await queries.secrets(conn, BOX, two.id, now=NOW)
        assert isinstance(sealed, bytes)
        assert secret.encode() not in sealed

    async def test_signs_beside_the_new_one_for_a_day(self, world: World) -> None:
        endpoint, old = await add(world)
        async with world.engine.begin() as conn:
            _, new = await writes.rotate(conn, BOX, endpoint.id, user_id=world.user_id, now=NOW)

        async with world.engine.connect() as conn:
            found = [
                await queries.secrets(conn, BOX, endpoint.id, now=NOW + timedelta(hours=hours)) for hours in (23, 24)
            ]

        assert [[new, old], [new]] == found

    async def test_is_forgotten_with_its_endpoint(self, world: World) -> None:
        endpoint, _ = await add(world)
        async with world.engine.begin() as conn:
            await writes.rotate(conn, BOX, endpoint.id, user_id=world.user_id, now=NOW)
            await writes.remove(conn, endpoint.id, user_id=world.user_id)

        assert (b"", None) == (
            await world.scalar("SELECT secret_sealed FROM webhook_endpoints"),
            await world.scalar("SELECT old_secret_sealed FROM webhook_endpoints"),
        )
        with pytest.raises(NotFound):
            await now_is(world, endpoint)


class TestEndpoint:
    async def test_is_one_of_a_few(self, world: World) -> None:
        for _ in range(writes.MOST):
            await add(world)

        with pytest.raises(LimitExceeded):
            await add(world)

    async def test_that_takes_nothing_for_days_is_disabled_and_its_owner_told(self, world: World) -> None:
        endpoint, _ = await add(world)
        await fail(world, endpoint, timedelta(0))
        await fail(world, endpoint, DAYS - timedelta(seconds=1))
        before = await now_is(world, endpoint)
        for _ in range(2):
            await fail(world, endpoint, DAYS)

        after = await now_is(world, endpoint)
        async with world.engine.connect() as conn:
            told = await events.page(conn, world.user_id, after=0, until=await events.horizon(conn), most=9)

        assert (None, "failing") == (before.disabled_reason, after.disabled_reason)
        assert [("new_notification", "webhook_failing", endpoint.id)] == [
            (one.kind, one.payload["code"], one.payload["about"]) for one in told
        ]

    async def test_that_takes_something_meanwhile_begins_anew(self, world: World) -> None:
        endpoint, _ = await add(world)
        await fail(world, endpoint, timedelta(0))
        await fail(world, endpoint, timedelta(days=4), is_taken=True)
        await fail(world, endpoint, DAYS)

        found = await now_is(world, endpoint)

        assert (None, NOW + DAYS) == (found.disabled_reason, found.failing_since)
