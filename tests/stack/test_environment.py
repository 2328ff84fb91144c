"""What the stack tells its programs, and .env.example, which tells people."""

import json
import re
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from liquida.settings import Durations, Settings
from liquida.stack.environment import adopt, development_secrets, environment
from models.errors import StackUnavailable

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no .env of the machine reaches these tests."""
    import os

    for name in [name for name in os.environ if name.startswith("LIQUIDA_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class TestEnvironment:
    def test_is_read_back_as_the_same_settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        chosen = Settings(state_dir=tmp_path, evm_port=9545, log_json=False, spread_bps=11, jwt_minutes=7)

        for name, value in environment(chosen).items():
            monkeypatch.setenv(name, value)

        read = Settings()
        assert (9545, False, 11, 7) == (read.evm_port, read.log_json, read.spread_bps, read.jwt_minutes)
        assert ["http://127.0.0.1:9545"] == read.networks["ethereum"].rpc_urls
        assert (31337, 3) == (read.networks["ethereum"].chain_id, read.networks["ethereum"].confirmations)
        assert tmp_path / "wallet.sealed" == read.wallet_file

    def test_follows_the_ports(self, tmp_path: Path) -> None:
        ports = {"postgres_port": 1001, "temporal_port": 1002, "sandbox_port": 1003, "api_port": 1004}

        told = environment(Settings(state_dir=tmp_path, database_url="postgresql+asyncpg://elsewhere/x", **ports))

        assert "postgresql+asyncpg://liquida_runtime@127.0.0.1:1001/liquida" == told["LIQUIDA_DATABASE_URL"]
        assert "127.0.0.1:1002" == told["LIQUIDA_TEMPORAL_ADDRESS"]
        assert "http://127.0.0.1:1003" == told["LIQUIDA_SANDBOX_URL"]
        assert "http://127.0.0.1:1004" == told["LIQUIDA_PUBLIC_URL"]

    def test_passes_on_networks_chosen_on_purpose(self, tmp_path: Path) -> None:
        token = {"USDT": {"contract": "0x" + "1" * 40, "decimals": 6, "price_decimals": 2}}
        networks = {"ethereum": {"rpc_urls": ["http://127.0.0.1:1"], "chain_id": 5, "tokens": token}}

        told = environment(Settings(state_dir=tmp_path, networks=networks))

        assert token == json.loads(told["LIQUIDA_NETWORKS"])["ethereum"]["tokens"]

    def test_names_only_settings(self, tmp_path: Path) -> None:
        known = {f"LIQUIDA_{name.upper()}" for name in Settings.model_fields}

        assert set(environment(Settings(state_dir=tmp_path))) <= known

    def test_refuses_production(self, tmp_path: Path) -> None:
        with pytest.raises(StackUnavailable, match="LIQUIDA_ENVIRONMENT is production"):
            environment(Settings(state_dir=tmp_path, environment="production"))


class TestDevelopmentSecrets:
    def test_are_made_once_and_for_our_eyes_only(self, tmp_path: Path) -> None:
        made = development_secrets(tmp_path)

        assert made == development_secrets(tmp_path)
        assert 0o600 == stat.S_IMODE((tmp_path / "secrets.env").stat().st_mode)

    def test_are_completed_and_never_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "secrets.env").write_text("LIQUIDA_DATA_KEY=kept\n")

        made = development_secrets(tmp_path)

        assert "kept" == made["LIQUIDA_DATA_KEY"]
        assert made["LIQUIDA_SANDBOX_WEBHOOK_SECRET"].startswith("whsec_")
        assert made == development_secrets(tmp_path)

    def test_give_way_to_those_set_on_purpose(self, tmp_path: Path) -> None:
        told = environment(Settings(state_dir=tmp_path, jwt_secret=SecretStr("mine")))

        assert "mine" == told["LIQUIDA_JWT_SECRET"]


class TestAdopt:
    def test_reaches_the_stack_that_runs_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.environ", {"LIQUIDA_STATE_DIR": str(tmp_path), "LIQUIDA_EVM_PORT": "9545"})
        made = development_secrets(tmp_path)

        adopted = adopt(Settings())

        assert made["LIQUIDA_JWT_SECRET"] == adopted.jwt_secret.get_secret_value()
        assert ["http://127.0.0.1:9545"] == adopted.networks["ethereum"].rpc_urls

    def test_leaves_what_was_set_on_purpose(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        url = "postgresql+asyncpg://somebody@elsewhere/x"
        monkeypatch.setattr("os.environ", {"LIQUIDA_STATE_DIR": str(tmp_path), "LIQUIDA_DATABASE_URL": url})
        development_secrets(tmp_path)

        assert url == adopt(Settings()).database_url

    def test_changes_nothing_where_no_stack_ever_ran(self, tmp_path: Path) -> None:
        untouched = Settings(state_dir=tmp_path)

        assert untouched is adopt(untouched)
        assert not (tmp_path / "secrets.env").exists()


class TestEnvExample:
    def test_lists_every_setting_and_no_other(self) -> None:
        assert set(_fields(Settings, "LIQUIDA_") | _fields(Durations, "LIQUIDA_SECONDS_")) == set(_example())

    def test_shows_the_defaults(self) -> None:
        defaults = _fields(Settings, "LIQUIDA_") | _fields(Durations, "LIQUIDA_SECONDS_")

        shown = {name: _parsed(text, defaults[name]) for name, text in _example().items()}

        assert {name: _plain(value) for name, value in defaults.items()} == shown

    def test_sets_nothing_when_copied_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text(EXAMPLE.read_text())

        assert set() == Settings().model_fields_set


def _example() -> dict[str, str]:
    return dict(re.findall(r"^# (LIQUIDA_[A-Z0-9_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def _fields(model: type[BaseSettings], prefix: str) -> dict[str, object]:
    return {f"{prefix}{name.upper()}": field.default for name, field in model.model_fields.items()}


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {key: str(item) for key, item in value.items()}
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else value if isinstance(value, int | float) else str(value)


def _parsed(text: str, default: object) -> object:
    if isinstance(default, dict):
        return json.loads(text)
    if isinstance(default, int | float) and not isinstance(default, bool):
        return float(text)
    return text
