"""The baseline: workflows of an OTC sell's shape, whose activities do nothing.

In a module of its own, because the workflow sandbox loads it anew for every run.
"""

from temporalio import activity, workflow

from workflows.options import DATABASE, PAY, READ, SEND, SIGN


@activity.defn(name="noop")
async def noop(_argument: str) -> str:
    return "done"


@workflow.defn(name="noop-transfer")
class NoopTransfer:
    @workflow.run
    async def run(self, argument: str) -> str:
        for options in (READ, SIGN, SEND):
            await workflow.execute_activity(noop, argument, **options)
        return argument


@workflow.defn(name="noop-payout")
class NoopPayout:
    @workflow.run
    async def run(self, argument: str) -> str:
        return await workflow.execute_activity(noop, argument, **PAY)


@workflow.defn(name="noop-trade")
class NoopTrade:
    @workflow.run
    async def run(self, argument: str) -> str:
        await workflow.execute_child_workflow(NoopTransfer.run, argument)
        await workflow.execute_activity(noop, argument, **DATABASE)
        await workflow.execute_child_workflow(NoopPayout.run, argument)
        return await workflow.execute_activity(noop, argument, **DATABASE)
