"""The embedded PostgreSQL: what it keeps, how it comes back, what it refuses."""

import os
import signal
from pathlib import Path

import asyncpg
import pytest

from liquida.stack.ports import free_port, is_free
from liquida.stack.postgres import SYSTEM_USER, Postgres, as_owner, create_database, drop_database, programs
from liquida.stack.process import Process
from models.errors import StackUnavailable
from tests.parts import start_postgres


async def _ask(url: str, query: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), ssl=False)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def _write(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), ssl=False)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _server_user() -> str | None:
    """PostgreSQL takes a pid in its lock seriously only if it may signal it: a process of its own user."""
    return SYSTEM_USER if os.geteuid() == 0 else None


class TestPostgres:
    async def test_keeps_rows_over_a_stop_and_a_start(self, tmp_path: Path) -> None:
        async with start_postgres(tmp_path) as postgres:
            await _write(postgres.owner_url, "CREATE TABLE kept AS SELECT 42 AS answer")

            await postgres.stop()
            await postgres.start()

            assert 42 == await _ask(postgres.owner_url, "SELECT answer FROM kept")

    async def test_recovers_committed_rows_after_sigkill(self, tmp_path: Path) -> None:
        async with start_postgres(tmp_path) as postgres:
            await _write(postgres.owner_url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
            os.kill(postgres.process.pid, signal.SIGKILL)
            await postgres.process.ended()
            assert (tmp_path / "postgres" / "postmaster.pid").exists()

            await postgres.start()

            assert 1000 == await _ask(postgres.owner_url, "SELECT count(*) FROM kept")

    async def test_starts_when_the_pid_in_its_lock_belongs_to_a_stranger(self, tmp_path: Path) -> None:
        async with start_postgres(tmp_path) as postgres:
            postgres.process.kill()
            stranger = Process("stranger", ["sleep", "60"], state_dir=tmp_path, user=_server_user())
            stranger.spawn()
            lock = tmp_path / "postgres" / "postmaster.pid"
            lines = lock.read_text().splitlines()
            lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")

            try:
                await postgres.start()

                assert 1 == await _ask(postgres.url(), "SELECT 1")
            finally:
                await stranger.stop()

    async def test_begins_again_after_an_interrupted_initialisation(self, tmp_path: Path) -> None:
        half_made = tmp_path / "postgres.new"
        half_made.mkdir()
        (half_made / "PG_VERSION").write_text("16\n")

        async with start_postgres(tmp_path) as postgres:
            assert 1 == await _ask(postgres.url(), "SELECT 1")

    async def test_puts_every_commit_on_disk_before_it_answers(self, tmp_path: Path) -> None:
        async with start_postgres(tmp_path, durable=True) as postgres:
            shown = {
                name: await _ask(postgres.url(), f"SHOW {name}")
                for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")
            }

        assert dict.fromkeys(shown, "on") == shown

    async def test_listens_on_loopback_alone(self, postgres_server: Postgres) -> None:
        assert "127.0.0.1" == await _ask(postgres_server.url(), "SHOW listen_addresses")
        assert "" == await _ask(postgres_server.admin_url, "SHOW unix_socket_directories")

    async def test_logs_no_statement_and_no_parameter_of_an_error(self, tmp_path: Path) -> None:
        async with start_postgres(tmp_path) as postgres:
            with pytest.raises(asyncpg.PostgresError):
                await _ask(postgres.url(), "SELECT '11122233344'::uuid")

            log = postgres.process.log.read_text()

        assert "SELECT '11122233344'" not in log

    async def test_gives_the_program_a_role_without_power(self, postgres_server: Postgres) -> None:
        power = await _ask(
            postgres_server.url(),
            "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user",
        )

        assert power is False

    async def test_names_the_port_and_the_setting_when_the_port_is_taken(
        self, postgres_server: Postgres, tmp_path: Path
    ) -> None:
        port = int(postgres_server.url().rpartition(":")[2].partition("/")[0])
        second = Postgres(tmp_path, port=port)

        with pytest.raises(StackUnavailable) as refused:
            await second.start()

        assert f"port {port}" in refused.value.detail
        assert "postgres (pid" in refused.value.detail
        assert "LIQUIDA_POSTGRES_PORT" in refused.value.detail

    async def test_stops_the_server_that_a_killed_run_left_behind(self, tmp_path: Path) -> None:
        port = free_port()
        left_behind = Postgres(tmp_path, port=port, durable=False)
        await left_behind.start()
        try:
            successor = Postgres(tmp_path, port=port, durable=False)

            await successor.start()
            await successor.stop()

            assert not left_behind.process.is_running
            assert is_free(port)
        finally:
            left_behind.process.kill()


class TestCreateDatabase:
    async def test_copies_a_template_and_gives_it_to_the_program(self, postgres_server: Postgres) -> None:
        admin = postgres_server.admin_url
        original = await create_database(admin, "original")
        await _write(as_owner(original), "CREATE TABLE kept AS SELECT 7 AS answer")

        copy = await create_database(admin, "copy", template="original")

        assert 7 == await _ask(as_owner(copy), "SELECT answer FROM kept")
        assert "liquida_runtime" == await _ask(copy, "SELECT current_user::text")
        for name in ("copy", "original", "copy"):
            await drop_database(admin, name)


class TestPrograms:
    def test_are_those_of_version_16(self) -> None:
        assert {"initdb", "postgres"} <= {program.name for program in programs().iterdir()}
        assert "pginstall" == programs().parent.name
