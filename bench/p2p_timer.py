"""The baseline: a workflow that does nothing but wait for its deadline, and an activity that says how late it came.

In a module of its own, because the workflow sandbox loads it anew for every run.
"""

import time

from temporalio import activity, workflow

from workflows.options import DATABASE


@activity.defn(name="late")
async def late(deadline: float) -> float:
    """Seconds between ``deadline``, a Unix time, and now."""
    return time.time() - deadline


@workflow.defn(name="bare-timer")
class BareTimer:
    @workflow.run
    async def run(self, deadline: float) -> float:
        await workflow.sleep(max(0, deadline - workflow.time()))
        return await workflow.execute_activity(late, deadline, **DATABASE)
