"""The doctor names what is broken and what to do."""

import asyncio
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf.duration_pb2 import Duration
from pydantic import SecretStr
from rich.console import Console
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from chains.keys.sealed_file import SealedFile
from liquida.database import migrate
from liquida.doctor import Finding, Level, _efi_certificate, doctor, render
from liquida.settings import NetworkSettings, Settings
from liquida.stack import temporal
from liquida.stack.environment import development_secrets
from liquida.stack.evm_node import EvmNode
from liquida.stack.ports import free_port
from liquida.stack.postgres import Postgres, as_owner, create_database
from liquida.stack.temporal import Temporal
from tests.payments.brl_code_double import API_KEY, WEBHOOK_URL, Gateway
from tests.payments.woovi_double import APP_ID, Woovi
from tests.sandbox_process import SandboxProcess

PASSPHRASE = SecretStr("a passphrase for tests")


@pytest.fixture(scope="module")
async def healthy(
    postgres_server: Postgres,
    temporal_server: Temporal,
    evm_node: EvmNode,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """Settings of an installation without a fault, but for the bank, which each test starts if it needs it."""
    state_dir = tmp_path_factory.mktemp("doctor")
    url = await create_database(postgres_server.admin_url, "doctor")
    await migrate(as_owner(url))
    SealedFile(state_dir / "wallet.sealed", PASSPHRASE, scrypt_n=2**14).create()
    given = {name.removeprefix("LIQUIDA_").lower(): value for name, value in development_secrets(state_dir).items()}
    ports = ("postgres_port", "temporal_port", "temporal_ui_port", "evm_port", "sandbox_port", "api_port")
    return Settings(
        **given | {"wallet_passphrase": PASSPHRASE} | {name: free_port() for name in ports},
        state_dir=state_dir,
        wallet_file=state_dir / "wallet.sealed",
        database_url=url,
        temporal_address=temporal_server.address,
        sandbox_url=f"http://127.0.0.1:{free_port()}",
        networks={"ethereum": NetworkSettings(rpc_urls=[evm_node.address], chain_id=31337)},
    )


async def _register_namespace(address: str, name: str) -> None:
    """A namespace without attributes; it takes the server some seconds to know it everywhere."""
    client = await Client.connect(address)
    retention = Duration(seconds=24 * 60 * 60)
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=retention)
    )
    async with asyncio.timeout(30):
        while True:
            try:
                await temporal.missing_search_attributes(address, name)
            except RPCError:
                await asyncio.sleep(0.2)
            else:
                return


def certificate_until(directory: Path, ends: datetime) -> Path:
    """A certificate in PEM that ends then; nobody signed for it but itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "us")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(ends - timedelta(days=900)).not_valid_after(ends)
    file = directory / "efi.pem"
    file.write_bytes(built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return file


async def _of(settings: Settings, name: str, **changes: object) -> Finding:
    findings = await doctor(settings.model_copy(update=changes))
    return next(finding for finding in findings if finding.name == name)


class TestDoctor:
    async def test_finds_nothing_wrong_with_a_healthy_installation(self, healthy: Settings, tmp_path: Path) -> None:
        with SandboxProcess(tmp_path / "sandbox.db") as bank:
            findings = await doctor(
                healthy.model_copy(update={"sandbox_url": bank.url, "sandbox_api_key": SecretStr(bank.api_key)})
            )

        assert [] == [finding for finding in findings if finding.level is Level.FAIL]
        assert {"Database", "Clock", "Temporal", "Network ethereum, node 1", "PIX provider", "Wallet", "Secrets"} <= {
            finding.name for finding in findings if finding.level is Level.OK
        }

    async def test_names_a_database_that_is_down(self, healthy: Settings) -> None:
        url = f"postgresql+asyncpg://liquida:hidden@127.0.0.1:{free_port()}/liquida"

        finding = await _of(healthy, "Database", database_url=url)

        assert Level.FAIL is finding.level
        assert "cannot be reached" in finding.found
        assert "hidden" not in finding.found
        assert "liquida up" in finding.remedy

    async def test_names_a_database_without_schema(self, healthy: Settings, postgres_server: Postgres) -> None:
        url = await create_database(postgres_server.admin_url, "doctor_empty")

        finding = await _of(healthy, "Database", database_url=url)

        assert (Level.FAIL, "liquida migrate") == (finding.level, finding.remedy)

    async def test_names_a_role_that_can_go_around_the_ledger(self, healthy: Settings) -> None:
        assert Level.OK is (await _of(healthy, "Database role")).level

        finding = await _of(healthy, "Database role", database_url=as_owner(healthy.database_url))

        assert Level.FAIL is finding.level
        assert "liquida_runtime" in finding.remedy

    async def test_names_a_temporal_that_is_down(self, healthy: Settings) -> None:
        finding = await _of(healthy, "Temporal", temporal_address=f"127.0.0.1:{free_port()}")

        assert Level.FAIL is finding.level
        assert "nobody answers" in finding.found

    async def test_names_a_missing_namespace(self, healthy: Settings) -> None:
        finding = await _of(healthy, "Temporal", temporal_namespace="absent")

        assert Level.FAIL is finding.level
        assert "no namespace absent" in finding.found

    async def test_names_missing_search_attributes(self, healthy: Settings) -> None:
        await _register_namespace(healthy.temporal_address, "bare")

        finding = await _of(healthy, "Temporal", temporal_namespace="bare")

        assert Level.FAIL is finding.level
        assert "Kind=Keyword" in finding.found
        assert "--name AmountCents --type Int" in finding.remedy

    async def test_warns_of_short_retention(self, healthy: Settings) -> None:
        await temporal.set_retention(healthy.temporal_address, "liquida", timedelta(days=2))
        try:
            finding = await _of(healthy, "Temporal")
        finally:
            await temporal.set_retention(healthy.temporal_address, "liquida", temporal.RETENTION)

        assert (Level.WARN, True) == (finding.level, "keeps 2 days" in finding.found)

    async def test_names_a_node_on_the_wrong_chain(self, healthy: Settings, evm_node: EvmNode) -> None:
        wrong = {"ethereum": NetworkSettings(rpc_urls=[evm_node.address])}

        finding = await _of(healthy, "Network ethereum, node 1", networks=wrong)

        assert Level.FAIL is finding.level
        assert "is on chain id 31337, configured is 1" in finding.found

    async def test_names_a_node_that_does_not_answer_without_its_key(self, healthy: Settings) -> None:
        down = {"ethereum": NetworkSettings(rpc_urls=[f"http://127.0.0.1:{free_port()}/v2/api-key"])}

        finding = await _of(healthy, "Network ethereum, node 1", networks=down)

        assert Level.FAIL is finding.level
        assert "api-key" not in finding.found + finding.remedy

    async def test_names_a_bank_that_is_down(self, healthy: Settings) -> None:
        finding = await _of(healthy, "PIX provider")

        assert Level.FAIL is finding.level
        assert "LIQUIDA_SANDBOX_URL" in finding.remedy

    async def test_names_a_provider_that_is_chosen_and_not_configured(self, healthy: Settings) -> None:
        changes = {"pix_provider": "efi", "efi_client_id": SecretStr("Client_Id_of_the_test")}

        finding = await _of(healthy, "PIX provider", **changes)
        secrets = await _of(healthy, "Secrets", **changes)

        assert (Level.FAIL, Level.FAIL) == (finding.level, secrets.level)
        assert "LIQUIDA_EFI_CLIENT_SECRET, LIQUIDA_EFI_CERTIFICATE, LIQUIDA_EFI_PIX_KEY" in finding.found
        assert "LIQUIDA_EFI_WEBHOOK_SECRETS" in secrets.found
        assert "Client_Id_of_the_test" not in finding.found + finding.remedy

    async def test_asks_each_provider_that_is_configured(self, healthy: Settings, tmp_path: Path) -> None:
        with Woovi() as woovi, SandboxProcess(tmp_path / "sandbox.db") as bank:
            findings = await doctor(
                healthy.model_copy(
                    update={
                        "pix_provider": "woovi",
                        "woovi_url": woovi.url,
                        "woovi_app_id": SecretStr(APP_ID),
                        "woovi_webhook_secrets": [SecretStr("a-secret-of-at-least-24-characters")],
                        "sandbox_url": bank.url,
                        "sandbox_api_key": SecretStr(bank.api_key),
                    }
                )
            )

        found = {finding.name: finding for finding in findings}
        assert (Level.OK, "woovi, balance R$ 100,000.00") == (
            found["PIX provider"].level,
            found["PIX provider"].found,
        )
        assert (Level.OK, Level.OK) == (found["PIX provider sandbox"].level, found["Secrets"].level)
        assert [] == [finding for finding in findings if APP_ID in finding.found + finding.remedy]

    async def test_names_a_real_bank_that_does_not_know_us(self, healthy: Settings) -> None:
        with Woovi() as woovi:
            changes = {"woovi_url": woovi.url, "woovi_app_id": SecretStr("an-app-id-that-is-wrong")}
            finding = await _of(healthy, "PIX provider", pix_provider="woovi", **changes)

        assert (Level.FAIL, "woovi: the provider answered 401") == (finding.level, finding.found)
        assert "LIQUIDA_WOOVI_URL, LIQUIDA_WOOVI_APP_ID" in finding.remedy
        assert "an-app-id-that-is-wrong" not in finding.found + finding.remedy

    async def test_is_content_with_a_bank_that_tells_no_balance(self, healthy: Settings) -> None:
        with Gateway() as gateway:
            changes = {"brl_code_url": gateway.url, "brl_code_api_key": SecretStr(API_KEY)}
            changes |= {"brl_code_webhook_url": WEBHOOK_URL}
            finding = await _of(healthy, "PIX provider", pix_provider="brl_code", **changes)

        assert (Level.OK, "brl_code answers, and tells no balance") == (finding.level, finding.found)

    @pytest.mark.parametrize(
        ("days", "level"), [(-1, Level.FAIL), (10, Level.WARN), (400, Level.OK)], ids=["over", "soon", "later"]
    )
    def test_says_until_when_efis_certificate_is_valid(self, tmp_path: Path, days: int, level: Level) -> None:
        ends = datetime.now(UTC) + timedelta(days=days)
        file = certificate_until(tmp_path, ends)

        [finding] = _efi_certificate(Settings(efi_certificate=file))

        assert (level, f"valid until {ends:%Y-%m-%d}") == (finding.level, finding.found)

    async def test_refuses_the_sandbox_as_a_fallback_in_production(self, healthy: Settings, tmp_path: Path) -> None:
        with SandboxProcess(tmp_path / "sandbox.db") as bank:
            changes = {"pix_provider": "woovi", "pix_fallback": "sandbox", "environment": "production"}
            bank_of_it = {"sandbox_url": bank.url, "sandbox_api_key": SecretStr(bank.api_key)}
            away = {"woovi_url": "http://127.0.0.1:1", "woovi_app_id": SecretStr("any")}
            finding = await _of(healthy, "PIX provider sandbox", **changes, **bank_of_it, **away)

        assert (Level.FAIL, "the sandbox pays nobody") == (finding.level, finding.found)

    async def test_names_a_missing_wallet(self, healthy: Settings, tmp_path: Path) -> None:
        finding = await _of(healthy, "Wallet", wallet_file=tmp_path / "none")

        assert (Level.FAIL, f"{tmp_path}/none is missing") == (finding.level, finding.found)

    async def test_names_a_wallet_that_others_may_read(self, healthy: Settings, tmp_path: Path) -> None:
        open_file = tmp_path / "wallet.sealed"
        open_file.write_bytes(healthy.wallet_file.read_bytes())
        open_file.chmod(0o644)

        finding = await _of(healthy, "Wallet", wallet_file=open_file)

        assert (Level.FAIL, f"chmod 600 {open_file}") == (finding.level, finding.remedy)

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("data_key", "", "LIQUIDA_DATA_KEY not set"),
            ("data_key", "c2hvcnQ=", "not 32 bytes in base64"),
            ("jwt_secret", "tiny-secret", "shorter than 32 characters"),
            ("evidence_key", "", "LIQUIDA_EVIDENCE_KEY not set"),
            ("evidence_key", "c2hvcnQ=", "LIQUIDA_EVIDENCE_KEY must be 32 bytes"),
        ],
    )
    async def test_names_a_bad_secret_and_does_not_show_it(
        self, healthy: Settings, field: str, value: str, words: str
    ) -> None:
        finding = await _of(healthy, "Secrets", **{field: SecretStr(value)})

        assert Level.FAIL is finding.level
        assert words in finding.found
        assert not value or value not in finding.found

    async def test_refuses_development_in_production(self, healthy: Settings) -> None:
        findings = await doctor(healthy.model_copy(update={"environment": "production"}))

        failed = {finding.found for finding in findings if finding.level is Level.FAIL}
        assert any("LIQUIDA_DATA_KEY" in found and "are the development ones" in found for found in failed)
        assert "prices are fixed in the settings" in failed

    async def test_warns_of_a_port_that_up_will_need(self, healthy: Settings, temporal_server: Temporal) -> None:
        taken = int(temporal_server.address.rpartition(":")[2])

        finding = await _of(healthy, "Port of api", api_port=taken)

        assert Level.WARN is finding.level
        assert f"{taken} is used by temporal (pid" in finding.found
        assert "LIQUIDA_API_PORT" in finding.remedy


class TestRender:
    def test_shows_what_is_wrong_and_what_to_do(self) -> None:
        output = StringIO()

        render(
            [Finding("Disk", Level.FAIL, "0.1 GB free [here]", "make room")], console=Console(width=120, file=output)
        )

        shown = output.getvalue()
        assert all(words in shown for words in ("fail", "Disk", "0.1 GB free [here]", "make room"))
