"""The hourly check says so when a law of the books is broken."""

import asyncio

from sqlalchemy import text
from structlog.testing import capture_logs

from liquida import database, wiring
from liquida.settings import NetworkSettings, Settings
from liquida.watchman import watch_laws
from models.user import writes as users
from tests.parts import start_postgres


async def test_a_broken_law_is_an_error_in_the_log(parts_directory):
    async with start_postgres(parts_directory / "watchman") as postgres:
        settings = Settings(
            database_url=postgres.url(),
            database_owner_url=postgres.owner_url,
            networks={"ethereum": NetworkSettings(rpc_urls=["http://127.0.0.1:1"])},
        )
        await wiring.install(settings)
        engine = database.engine(postgres.url(), pool=2)
        owner = database.engine(postgres.owner_url, pool=1)
        async with owner.begin() as conn:
            ana = await users.add_user(conn, email="ana@example.com")
            await conn.execute(text("ALTER TABLE ledger_accounts DISABLE TRIGGER USER"))
            account = text(
                "INSERT INTO ledger_accounts (owner, asset_id, purpose, is_constrained, balance)"
                " VALUES (:owner, 'BRL', 'available', true, 500)"
            )
            await conn.execute(account, {"owner": ana.user_id})
        await owner.dispose()

        with capture_logs() as logs:
            watching = asyncio.create_task(watch_laws(engine, every_seconds=0.01))
            await asyncio.sleep(1)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await engine.dispose()

    assert "balances_add_up" in {line.get("law") for line in logs}
