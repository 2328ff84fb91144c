"""The chain worker starts long after the addresses were handed out."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.desk import ETHER, open_desk


class TestWatch:
    async def test_that_starts_late_misses_no_deposit(self):
        with TemporaryDirectory(prefix="liquida-late-") as name:
            directory = Path(name)
            directory.chmod(0o755)
            async with open_desk(directory, working=False) as desk:
                async with desk.working(("custody",)):
                    ana = await desk.person()
                desk.rich = (await desk.anvil.rpc("eth_accounts"))[0]
                await desk.send(ana.address, ETHER)
                await desk.anvil.mine(300)

                async with desk.working():
                    await desk.eventually(lambda: _has(desk, ana), "the early deposit to be booked")


async def _has(desk, person) -> bool:
    return await desk.available(person) == ETHER
