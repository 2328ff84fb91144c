"""The database's schema, from the command line and from tests: always through Alembic."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

MIGRATIONS = Path(__file__).parent.parent / "migrations"
_MAY_WRITE = text("SELECT has_table_privilege('ledger_postings', 'INSERT, UPDATE, DELETE')")


def engine(url: str, *, pool: int = 20) -> AsyncEngine:
    """One per process, made inside the running loop. Never more connections than ``pool``.

    Its errors show no parameters: those may be personal.
    """
    return create_async_engine(url, pool_size=pool, max_overflow=0, hide_parameters=True)


async def migrate(url: str) -> str:
    """Bring the schema to the latest revision; harmless to repeat. The revision reached."""
    config = _config(url)
    await asyncio.to_thread(command.upgrade, config, "head")
    return latest_revision()


def latest_revision() -> str:
    return ScriptDirectory.from_config(_config("")).get_current_head() or ""


async def present_revision(url: str) -> str | None:
    """The revision the database is at; None before the first migration."""
    probe = create_async_engine(url)
    try:
        async with probe.connect() as conn:
            exists = (await conn.execute(text("SELECT to_regclass('alembic_version')"))).scalar_one()
            if exists is None:
                return None
            found = (await conn.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
            return None if found is None else str(found)
    finally:
        await probe.dispose()


async def may_write_the_ledger(url: str) -> bool:
    """Whether this role can go around the ledger's one door: it owns the tables, or was given too much."""
    probe = create_async_engine(url)
    try:
        async with probe.connect() as conn:
            return bool((await conn.execute(_MAY_WRITE)).scalar_one())
    finally:
        await probe.dispose()


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config
