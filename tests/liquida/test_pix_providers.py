"""Which PIX providers a process builds, what it says when one is not configured, and who looks after them."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from liquida import serve, wiring
from liquida.logging import configure
from liquida.provider_watch import check_providers, watch_providers
from liquida.settings import Settings
from models.errors import InvalidInput
from models.payout.states import PayoutStatus
from models.provider_health import queries
from models.quote.types import Funding
from payments.protocol import PixProvider
from payments.woovi import PUBLISHED_KEY, WooviProvider
from tests.models.world import COIN, World
from tests.payments.brl_code_double import API_KEY, WEBHOOK_URL, Gateway
from tests.payments.efi_double import OUR_KEY, Authority
from tests.payments.woovi_double import APP_ID, Fault, Woovi
from tests.sandbox_process import free_port, new_webhook_secret

SECRETS: dict[str, Any] = {
    "sandbox_webhook_secret": new_webhook_secret(),
    "woovi_webhook_secrets": ["woovi-secret-one-of-24-characters", "woovi-secret-two-of-24-characters"],
    "efi_webhook_secrets": ["efi-secret-of-at-least-32-characters"],
    "brl_code_webhook_secrets": ["brl-code-secret-of-24-characters"],
}
SANDBOX: dict[str, Any] = {"sandbox_api_key": "sandbox-api-key-in-the-test"}
WOOVI: dict[str, Any] = {"woovi_app_id": APP_ID, "woovi_url": "http://127.0.0.1:1"}
BRL_CODE: dict[str, Any] = {
    "brl_code_url": "http://127.0.0.1:1",
    "brl_code_api_key": API_KEY,
    "brl_code_webhook_url": WEBHOOK_URL,
}


def given(**values: Any) -> Settings:
    """Settings that no environment and no file of this machine has a part in."""
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def efi(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    certificate, key = Authority(tmp_path_factory.mktemp("efi")).issue("client")
    return {
        "efi_client_id": "Client_Id_of_the_test",
        "efi_client_secret": "Client_Secret_of_the_test",
        "efi_certificate": certificate,
        "efi_certificate_key": key,
        "efi_pix_key": OUR_KEY,
    }


@pytest.fixture
async def built() -> AsyncIterator[Callable[[dict[str, PixProvider]], list[str]]]:
    """The names of what was built, which is closed at the end."""
    made: list[PixProvider] = []

    def names(by_name: dict[str, PixProvider]) -> list[str]:
        made.extend(by_name.values())
        return sorted(by_name)

    yield names
    for provider in made:
        await provider.close()


Names = Callable[[dict[str, PixProvider]], list[str]]


class TestPayingProcess:
    async def test_builds_the_chosen_provider(self, built: Names, efi: dict[str, Any]) -> None:
        for name, values in {"sandbox": SANDBOX, "woovi": WOOVI, "efi": efi, "brl_code": BRL_CODE}.items():
            assert [name] == built(wiring.providers(given(pix_provider=name, **values)))

    async def test_builds_all_that_are_configured(self, built: Names, efi: dict[str, Any]) -> None:
        settings = given(pix_provider="efi", **WOOVI, **BRL_CODE, **SANDBOX, **efi)

        assert ["brl_code", "efi", "sandbox", "woovi"] == built(wiring.providers(settings))

    async def test_needs_no_webhook_secret(self, built: Names) -> None:
        settings = given(pix_provider="woovi", pix_fallback="brl_code", **WOOVI, **BRL_CODE)

        assert ["brl_code", "woovi"] == built(wiring.providers(settings))

    @pytest.mark.parametrize(
        ("values", "named"),
        [
            ({"pix_provider": "sandbox"}, ["LIQUIDA_SANDBOX_API_KEY"]),
            ({"pix_provider": "woovi"}, ["LIQUIDA_WOOVI_APP_ID"]),
            (
                {"pix_provider": "efi"},
                ["EFI_CLIENT_ID", "EFI_CLIENT_SECRET", "LIQUIDA_EFI_CERTIFICATE", "LIQUIDA_EFI_PIX_KEY"],
            ),
            ({"pix_provider": "brl_code"}, ["BRL_CODE_URL", "BRL_CODE_API_KEY", "BRL_CODE_WEBHOOK_URL"]),
            ({**SANDBOX, "pix_fallback": "woovi"}, ["LIQUIDA_WOOVI_APP_ID"]),
            ({**SANDBOX, "efi_client_id": "one"}, ["EFI_CLIENT_SECRET", "EFI_CERTIFICATE", "EFI_PIX_KEY"]),
            ({**SANDBOX, "brl_code_api_key": API_KEY}, ["LIQUIDA_BRL_CODE_URL", "LIQUIDA_BRL_CODE_WEBHOOK_URL"]),
        ],
        ids=range(7),
    )
    def test_says_which_settings_are_missing(self, values: dict[str, Any], named: list[str]) -> None:
        with pytest.raises(InvalidInput) as refusal:
            wiring.providers(given(**values))

        assert [name for name in named if name not in refusal.value.detail] == []
        assert API_KEY not in refusal.value.detail

    @pytest.mark.parametrize("content", [None, "not a certificate"], ids=["absent", "no certificate"])
    def test_names_a_certificate_that_cannot_be_read(
        self, efi: dict[str, Any], tmp_path: Path, content: str | None
    ) -> None:
        file = tmp_path / "efi.pem"
        if content:
            file.write_text(content)

        with pytest.raises(InvalidInput, match=r"efi: .* cannot be read .*LIQUIDA_EFI_CERTIFICATE"):
            wiring.providers(given(pix_provider="efi", **(efi | {"efi_certificate": file})))

    async def test_will_not_leave_payouts_behind_at_a_provider_that_is_gone(
        self, world: World, database: str
    ) -> None:
        trade = await world.sell(Funding.DEPOSIT)
        await world.make_final(await world.deposit(trade, COIN))
        await world.advance(trade)
        await world.hear(trade, PayoutStatus.UNKNOWN)
        settings = given(pix_provider="woovi", data_key="MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", **WOOVI)

        with pytest.raises(InvalidInput, match=r"payouts, charges or disputes at sandbox .*LIQUIDA_SANDBOX_API_KEY"):
            async with wiring.queue_parts(settings, ["payments"], world.engine):
                pass

        await world.hear(trade, PayoutStatus.PAID)
        async with wiring.queue_parts(settings, ["payments"], world.engine) as parts:
            assert 1 == len(parts["payments"].beside)


class TestApiProcess:
    async def test_verifies_webhooks_without_any_credential(self, built: Names) -> None:
        settings = given(pix_provider="woovi", pix_fallback="efi", **SECRETS)

        assert ["brl_code", "efi", "sandbox", "woovi"] == built(wiring.webhook_verifiers(settings))

    @pytest.mark.parametrize("name", ["sandbox", "woovi", "efi", "brl_code"])
    def test_says_which_secret_is_missing(self, name: str) -> None:
        others = {setting: value for setting, value in SECRETS.items() if not setting.startswith(name)}

        with pytest.raises(InvalidInput, match=f"LIQUIDA_{name.upper()}_WEBHOOK_SECRET"):
            wiring.webhook_verifiers(given(pix_provider=name, **others))


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "short"), [("woovi", "x" * 23), ("efi", "x" * 31), ("brl_code", "x" * 23)], ids=str
    )
    def test_refuse_a_short_webhook_secret_without_showing_it(self, name: str, short: str) -> None:
        with pytest.raises(ValidationError) as refusal:
            given(**{f"{name}_webhook_secrets": [short]})

        assert short not in str(refusal.value)

    def test_refuse_a_provider_that_does_not_exist(self) -> None:
        with pytest.raises(ValidationError):
            given(pix_provider="nobody")

    def test_refuse_a_fallback_that_is_the_chosen_one(self) -> None:
        with pytest.raises(ValidationError, match="LIQUIDA_PIX_FALLBACK"):
            given(pix_provider="efi", pix_fallback="efi")

    def test_show_no_secret(self, efi: dict[str, Any]) -> None:
        settings = given(**SECRETS, **SANDBOX, **WOOVI, **BRL_CODE, **efi)

        shown = repr(settings) + str(settings.model_dump())

        secrets = [APP_ID, API_KEY, OUR_KEY, *SANDBOX.values(), efi["efi_client_secret"], efi["efi_client_id"]]
        for value in SECRETS.values():
            secrets += [value] if isinstance(value, str) else value
        assert [] == [secret for secret in secrets if secret in shown]

    def test_read_lists_and_blanks_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LIQUIDA_WOOVI_WEBHOOK_SECRETS", '["woovi-secret-one-of-24-characters"]')
        monkeypatch.setenv("LIQUIDA_EFI_WEBHOOK_SECRETS", "")
        monkeypatch.setenv("LIQUIDA_PIX_FALLBACK", "")

        settings = given()

        assert (1, 0, None) == (
            len(settings.woovi_webhook_secrets),
            len(settings.efi_webhook_secrets),
            settings.pix_fallback,
        )


class TestFailover:
    def test_is_none_without_a_fallback(self) -> None:
        assert wiring.failover(given()) is None

    def test_forgives_some_checks_that_were_missed(self) -> None:
        found = wiring.failover(given(pix_fallback="efi"))

        assert found is not None
        assert ("efi", 300) == (found.fallback, found.down_after_seconds)
        assert found.stale_after_seconds > 2 * 30


class TestProviderWatch:
    @pytest.fixture
    def gateway(self) -> Iterator[Gateway]:
        with Gateway() as running:
            yield running

    async def test_writes_down_who_answers(self, engine: AsyncEngine, built: Names, gateway: Gateway) -> None:
        settings = given(
            pix_provider="brl_code",
            **(BRL_CODE | {"brl_code_url": gateway.url}),
            **SANDBOX,
            sandbox_url=f"http://127.0.0.1:{free_port()}",
        )
        by_name = wiring.providers(settings)
        built(by_name)

        with capture_logs() as lines:
            await check_providers(engine, by_name)

        async with engine.connect() as conn:
            known = await queries.all_known(conn)
        assert {"brl_code": True, "sandbox": False} == {
            name: health.failing_seconds is None for name, health in known.items()
        }
        assert [("provider.not_answering", "sandbox")] == [(line["event"], line["provider"]) for line in lines]
        assert API_KEY not in str(lines)

    async def test_goes_on_looking(self, engine: AsyncEngine, built: Names, gateway: Gateway) -> None:
        by_name = wiring.providers(given(pix_provider="brl_code", **(BRL_CODE | {"brl_code_url": gateway.url})))
        built(by_name)

        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await watch_providers(engine, by_name, every_seconds=0.01)

        assert len(gateway.calls) > 2


class TestWebhookKeys:
    @pytest.fixture
    def woovi(self) -> Iterator[Woovi]:
        with Woovi() as running:
            yield running

    async def keep(self, woovi: Woovi) -> list[str]:
        """The log's events of a short while."""
        provider = WooviProvider(woovi.url, webhook_secrets=SECRETS["woovi_webhook_secrets"])
        with capture_logs() as lines, suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await wiring.keep_webhook_keys({"woovi": provider})
        await provider.close()
        return [line["event"] for line in lines]

    async def test_are_fetched_at_once_and_not_again_for_an_hour(self, woovi: Woovi) -> None:
        woovi.public_keys = [PUBLISHED_KEY]

        assert [] == await self.keep(woovi)
        assert ["public_keys"] == woovi.calls

    async def test_that_cannot_be_fetched_are_a_warning(self, woovi: Woovi) -> None:
        woovi.fail("public_keys", Fault.ERROR_BEFORE)

        assert ["webhook_keys.not_refreshed"] == await self.keep(woovi)

    async def test_are_nobodys_business_without_woovi(self) -> None:
        async with asyncio.timeout(1):
            await wiring.keep_webhook_keys({})


class TestServer:
    def test_outlasts_the_idle_connections_of_its_callers(self) -> None:
        """Clients keep one for 5 seconds, load balancers for up to 60; the server must not close first."""
        assert serve.server_config(FastAPI(), given()).timeout_keep_alive > 60

    async def test_logs_no_query_string(self) -> None:
        """Efí proves itself by a secret in the address, so the server's own log must not write addresses down."""
        stream, secret, port = io.StringIO(), SECRETS["efi_webhook_secrets"][0], free_port()
        configure(level="DEBUG", json=True)
        handler = logging.getLogger().handlers[0]
        assert isinstance(handler, logging.StreamHandler)
        before = handler.setStream(stream)
        server = uvicorn.Server(serve.server_config(FastAPI(), given(api_port=port)))
        server.capture_signals = suppress  # type: ignore[assignment,method-assign]
        running = asyncio.create_task(server.serve())
        try:
            while not server.started:
                await asyncio.sleep(0.01)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                reply = await client.post(f"/webhooks/efi?hmac={secret}&ignorar=", content=b"{}")
        finally:
            server.should_exit = True
            await running
            handler.setStream(before)

        assert 404 == reply.status_code
        assert secret not in stream.getvalue()
        assert "hmac=" not in stream.getvalue()
