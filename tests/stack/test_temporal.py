"""The embedded Temporal: its namespace outlives it, and the servers' setup script says the same as it."""

import os
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from liquida.stack import temporal
from liquida.stack.ports import LOOPBACK, free_port
from liquida.stack.process import Process
from liquida.stack.temporal import DYNAMIC_CONFIG, SEARCH_ATTRIBUTES, Temporal
from models.errors import StackUnavailable
from tests.parts import start_temporal

DEPLOY = Path(__file__).parents[2] / "deploy" / "temporal"


class TestTemporal:
    async def test_keeps_namespace_retention_and_search_attributes_over_a_restart(self, tmp_path: Path) -> None:
        async with start_temporal(tmp_path, in_memory=False) as server:
            first_retention = await temporal.retention(server.address, "liquida")
            await server.stop()

            await server.start()

            assert timedelta(days=30) == first_retention
            assert timedelta(days=30) == await temporal.retention(server.address, "liquida")
            assert [] == await temporal.missing_search_attributes(server.address, "liquida")

    async def test_comes_back_after_sigkill(self, tmp_path: Path) -> None:
        async with start_temporal(tmp_path, in_memory=False) as server:
            server.process.kill()

            await server.start()

            assert [] == await temporal.missing_search_attributes(server.address, "liquida")

    async def test_names_the_setting_when_the_port_is_taken(self, temporal_server: Temporal, tmp_path: Path) -> None:
        port = int(temporal_server.address.partition(":")[2])

        with pytest.raises(StackUnavailable, match=rf"port {port}.*LIQUIDA_TEMPORAL_PORT"):
            await Temporal(tmp_path, port=port, in_memory=True).start()

    async def test_says_which_log_to_read_when_the_server_does_not_come_up(self, tmp_path: Path) -> None:
        (tmp_path / "temporal.db").write_text("no database " * 100)

        with pytest.raises(StackUnavailable, match=r"temporal ended while starting.*logs/temporal\.log"):
            await Temporal(tmp_path, port=free_port()).start()


class TestDeployedTemporal:
    """docker-compose.yml sets its server up with these files; they must say what the embedded one does."""

    async def test_namespace_script_makes_what_the_program_needs_and_can_be_repeated(self, tmp_path: Path) -> None:
        port = free_port()
        address = f"{LOOPBACK}:{port}"
        bare = Process(
            "bare-temporal",
            [temporal.program(), "server", "start-dev", "--headless", "--ip", LOOPBACK, "--port", str(port)],
            state_dir=tmp_path,
        )
        environment = {
            "PATH": f"{temporal.program().parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "TEMPORAL_ADDRESS": address,
            "NAMESPACE": "liquida",
        }
        bare.spawn()
        try:
            for _ in range(2):
                ran = subprocess.run(
                    ["sh", DEPLOY / "create-namespace.sh"],
                    env=environment,
                    timeout=60,
                    capture_output=True,
                    check=False,
                )

                assert (0, b"") == (ran.returncode, ran.stderr)
            assert [] == await temporal.missing_search_attributes(address, "liquida")
            assert temporal.RETENTION == await temporal.retention(address, "liquida")
        finally:
            await bare.stop()

    def test_namespace_script_names_the_same_search_attributes(self) -> None:
        script = (DEPLOY / "create-namespace.sh").read_text()

        assert SEARCH_ATTRIBUTES == dict(re.findall(r"--name (\w+) --type (\w+)", script))

    def test_dynamic_config_is_the_same(self) -> None:
        deployed = yaml.safe_load((DEPLOY / "dynamic-config.yaml").read_text())

        embedded = dict(value.split("=") for value in DYNAMIC_CONFIG)
        assert embedded == {
            name: str(value) if isinstance(value := rows[0]["value"], int) else f'"{value}"'
            for name, rows in deployed.items()
        }
