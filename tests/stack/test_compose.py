"""docker-compose.yml and Dockerfile against the program they run: no daemon is needed to find a lie."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from liquida.settings import Durations, Settings
from liquida.stack.postgres import RUNTIME_ROLE
from liquida.stack.services import QUEUES
from liquida.wiring import CREDENTIALS, WEBHOOK_SECRETS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = {name: service for name, service in SERVICES.items() if name.startswith("worker-")}
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SECRETS = re.compile(r"PASSWORD|SECRET|(?<!NEW_)KEY|PASSPHRASE|PWD")
PASSED_ON = "None"
"""Without a value: passed on if .env sets it."""
FROM_ENVIRONMENT = re.compile(r"\$\{(\w+)[:?-]")


def _environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


class TestCompose:
    def test_knows_only_settings_that_exist(self) -> None:
        known = {f"LIQUIDA_{name.upper()}" for name in Settings.model_fields}
        known |= {f"LIQUIDA_SECONDS_{name.upper()}" for name in Durations.model_fields}

        assert set(re.findall(r"LIQUIDA_[A-Z0-9_]+", TEXT)) <= known

    def test_lets_the_operator_choose_everything_but_the_embedded_stack(self) -> None:
        embedded = {"anvil", *(name for name in Settings.model_fields if name.endswith("_port"))}
        embedded |= {"evm_block_seconds"}
        known = {f"LIQUIDA_{name.upper()}" for name in set(Settings.model_fields) - embedded}
        known |= {f"LIQUIDA_SECONDS_{name.upper()}" for name in Durations.model_fields}

        assert known <= {variable for service in OURS.values() for variable in _environment(service)}

    def test_asks_only_for_variables_that_the_example_explains(self) -> None:
        explained = set(re.findall(r"^# ([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))

        assert set(FROM_ENVIRONMENT.findall(TEXT)) <= explained

    @pytest.mark.parametrize("name", SERVICES)
    def test_takes_every_secret_from_the_environment(self, name: str) -> None:
        for variable, value in _environment(SERVICES[name]).items():
            if SECRETS.search(variable) and value != PASSED_ON:
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), variable
            assert not re.search(r"://[^:/@]+:(?!\$\{)[^@]+@", value), variable

    @pytest.mark.parametrize("name", SERVICES)
    def test_pins_every_image(self, name: str) -> None:
        tag = SERVICES[name]["image"].partition(":")[2]

        assert re.match(r"\d+\.\d+", tag)

    def test_runs_server_and_tools_of_one_temporal(self) -> None:
        images = {
            service["image"].rpartition(":") for service in SERVICES.values() if "temporalio" in service["image"]
        }
        versions = {tag for image, _, tag in images if not image.endswith("/ui")}

        assert 1 == len(versions)

    def test_fixes_512_history_shards(self) -> None:
        assert "512" == _environment(SERVICES["temporal"])["NUM_HISTORY_SHARDS"]

    def test_has_one_worker_for_each_queue(self) -> None:
        assert [["worker", "--queue", queue] for queue in QUEUES] == [
            worker["command"] for worker in WORKERS.values()
        ]

    def test_gives_custody_no_door_and_no_way_out(self) -> None:
        custody = SERVICES["worker-custody"]

        assert "ports" not in custody
        assert ["inside"] == custody["networks"]
        assert COMPOSE["networks"]["inside"]["internal"] is True

    def test_gives_the_wallet_to_custody_alone(self) -> None:
        holders = {name for name, service in OURS.items() if any("WALLET" in v for v in _environment(service))}

        assert {"worker-custody"} == holders

    def test_gives_the_owner_of_the_tables_to_migrations_alone(self) -> None:
        holders = {name for name, service in OURS.items() if "LIQUIDA_DATABASE_OWNER_URL" in _environment(service)}
        runtime = {_environment(service)["LIQUIDA_DATABASE_URL"].split(":")[1] for service in OURS.values()}

        assert ({"migrate"}, {f"//{RUNTIME_ROLE}"}) == (holders, runtime)
        assert f"CREATE ROLE {RUNTIME_ROLE} " in (ROOT / "deploy" / "ledger" / "create-runtime-role.sh").read_text()

    def test_gives_provider_credentials_to_payments_alone(self) -> None:
        credentials = {f"LIQUIDA_{setting.upper()}" for needed in CREDENTIALS.values() for setting in needed}
        credentials |= {"LIQUIDA_EFI_CERTIFICATE_KEY"}
        holders = {name for name, service in OURS.items() if credentials & set(_environment(service))}

        assert {"worker-payments"} == holders
        assert [] == sorted(credentials - set(_environment(OURS["worker-payments"])))

    def test_gives_the_providers_webhook_secrets_to_the_api_alone(self) -> None:
        secrets = {f"LIQUIDA_{setting.upper()}" for needed in WEBHOOK_SECRETS.values() for setting in needed}
        holders = {name for name, service in OURS.items() if secrets & set(_environment(service))}

        assert {"api"} == holders
        assert [] == sorted(secrets - set(_environment(OURS["api"])))

    def test_shows_the_certificates_to_payments_alone(self) -> None:
        holders = {
            name
            for name, service in SERVICES.items()
            if any("certificates" in mount for mount in service.get("volumes", []))
        }

        assert {"worker-payments"} == holders
        assert "*\n!.gitignore\n" == (ROOT / "deploy" / "certificates" / ".gitignore").read_text()

    def test_publishes_on_loopback_the_default_ports_only(self) -> None:
        published = {port for service in SERVICES.values() for port in service.get("ports", [])}

        api, ui = Settings.model_fields["api_port"].default, Settings.model_fields["temporal_ui_port"].default
        assert {f"127.0.0.1:{api}:{api}", f"127.0.0.1:{ui}:8080"} == published

    def test_api_listens_where_it_is_published(self) -> None:
        assert "8000" == _environment(SERVICES["api"])["LIQUIDA_API_PORT"]

    def test_waits_for_schema_and_namespace_before_work_begins(self) -> None:
        for service in (SERVICES["api"], *WORKERS.values()):
            assert {"migrate", "temporal-namespace"} <= set(service["depends_on"])

    @pytest.mark.parametrize(
        "name", [name for name, service in SERVICES.items() if service.get("restart") == "unless-stopped"]
    )
    def test_looks_after_the_health_of_what_stays(self, name: str) -> None:
        assert "healthcheck" in SERVICES[name] or name == "temporal-ui"

    def test_asks_workers_for_health_where_they_serve_it(self) -> None:
        for worker in WORKERS.values():
            port = _environment(worker)["LIQUIDA_WORKER_METRICS_PORT"]

            assert f"127.0.0.1:{port}/metrics" in worker["healthcheck"]["test"][-1]

    def test_mounts_files_that_exist(self) -> None:
        mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
        folders = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
        scripts = [
            word for service in SERVICES.values() for word in service.get("entrypoint", []) if "/deploy/" in word
        ]

        assert all((ROOT / folder).is_dir() for folder in folders)
        assert all((ROOT / "deploy" / "temporal" / Path(script).name).is_file() for script in scripts)
        assert set(COMPOSE["volumes"]) == {mount.split(":")[0] for mount in mounts if not mount.startswith(".")}


class TestDockerfile:
    def test_has_a_python_that_the_program_allows(self) -> None:
        version = re.search(r"^FROM python:(\d+\.\d+)-slim", DOCKERFILE, re.MULTILINE)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

        assert version is not None
        assert SpecifierSet(project["requires-python"]).contains(f"{version[1]}.0")

    def test_copies_every_package_of_the_wheel(self) -> None:
        build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
        ignored = (ROOT / ".dockerignore").read_text()

        for package in build["packages"]:
            assert f"COPY {package} {package}" in DOCKERFILE
            assert f"!{package}\n" in ignored

    def test_does_not_run_as_root(self) -> None:
        assert "liquida" == re.findall(r"^USER (\w+)", DOCKERFILE, re.MULTILINE)[-1]
