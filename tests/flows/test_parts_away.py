"""A part is away: what is accepted meanwhile is carried out when it comes back."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.desk import ETHER, open_desk


class TestAcceptance:
    async def test_goes_on_without_workers_and_without_temporal_and_cancels_before_the_signature(self):
        with TemporaryDirectory(prefix="liquida-away-") as name:
            directory = Path(name)
            directory.chmod(0o755)
            async with open_desk(directory, durable=True, working=False) as desk:
                async with desk.working():
                    await desk.open()
                    ana = await desk.person()
                    await desk.give(ana, ETHER)
                await desk.temporal.stop()

                sold = await desk.sell(ana, "0.25")
                dropped = await desk.sell(ana, "0.25")
                held = await desk.available(ana)
                await desk.temporal.start()
                async with desk.working(("settlement",)):
                    reply = await desk.call(ana, "POST", f"/api/v1/instant-trade/{dropped['id']}/cancel", key="c")
                    await desk.eventually(lambda: _cancelled(desk, ana, dropped), "the cancel to be decided")
                async with desk.working():
                    await desk.until(ana, sold, "completed", seconds=60)

                assert ETHER // 2 == held
                assert reply.status_code in {200, 202, 503}
                assert "cancelled_by_user" == (await desk.until(ana, dropped, "cancelled"))["reason"]
                assert 3 * ETHER // 4 == await desk.available(ana)
                assert [] == desk.payouts_of(dropped)
                await desk.balanced()


async def _cancelled(desk, person, trade) -> bool:
    path = f"/api/v1/instant-trade/{trade['id']}"
    reply = await desk.call(person, "POST", f"{path}/cancel", key="c")
    return reply.status_code in {200, 409} and (await desk.get(person, path))["status"] == "cancelled"
