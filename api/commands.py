"""Commands as Temporal Updates: the caller learns at once whether it was done, refused, or still unknown.

The update's id is the caller's ``Idempotency-Key``, so sending a command again finds the first sending.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.deps import Services
from api.idempotency import Once
from api.problems import Bug, Relayed
from api.views import read_trade, visible
from models.errors import EngineUnavailable, IllegalTransition, LiquidaError
from models.instant_trade.operate import operate
from models.instant_trade.states import ENDED, TradeStatus
from models.instant_trade.types import Attestation, Decision, Nudge, Operation
from models.instant_trade.writes import RETURN_WORKFLOW, workflow_id
from models.payout import queries as payouts
from models.payout.states import PayoutStatus
from models.quote.types import Side
from models.user.types import Actor

PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Command:
    """``update``: its name in ``workflows/otc_sell.py``. ``goal``: a trade that ended so has no need of it."""

    update: str
    argument: str | Attestation | Decision | Nudge
    goal: TradeStatus | None = None


class Accepted(BaseModel):
    """The command is on its way, and its outcome not known yet."""

    status: Literal["accepted"] = "accepted"
    trade_id: str
    detail: str = "the outcome is not known yet: repeat the request with the same Idempotency-Key to learn it"


async def command(services: Services, caller: Actor, once: Once, trade_id: str, order: Command) -> JSONResponse:
    """Carry out ``order``; the trade as it is afterwards.

    The key is claimed for good before anything is sent, and its answer is stored only when it is final.
    :raises NotFound: none, or somebody else's.
    :raises Relayed: the workflow said no.
    :raises IllegalTransition: the trade has ended.
    :raises EngineUnavailable: Temporal does not answer, or the workflow has not started yet.
    """
    async with services.engine.begin() as conn:
        trade = await visible(conn, trade_id, caller)
        if (known := await once.claim(conn)) is not None:
            return known
        if isinstance(order.argument, Nudge) and trade.operation is Side.BUY and trade.status in ENDED:
            # No workflow is left to ask, and a payment that the bank refused to send back would stay for ever.
            again = Operation(trade_id, services.terms, nudge=order.argument)
            await operate(conn, again, now=datetime.now(UTC))
            return await once.answer(conn, 200, await read_trade(conn, trade_id, caller, services))
        payout = await payouts.of_trade(conn, trade_id)
    returned = payout is not None and payout.status is PayoutStatus.RETURNED
    targets = [f"{RETURN_WORKFLOW}/{trade_id}"] if returned else []
    try:
        done = await _send(await services.temporal(), [*targets, workflow_id(trade_id, trade.operation)], order, once)
    except WorkflowUpdateFailedError as failure:
        raise _refusal(failure) from None
    except WorkflowUpdateRPCTimeoutOrCancelledError:
        location = {"Location": f"/api/v1/instant-trade/{trade_id}"}
        return JSONResponse(Accepted(trade_id=trade_id).model_dump(mode="json"), 202, headers=location)
    async with services.engine.begin() as conn:
        view = await read_trade(conn, trade_id, caller, services)
        if done or view.status is order.goal:
            return await once.answer(conn, 200, view)
    if view.status in ENDED:
        raise IllegalTransition(f"the trade is {view.status}; it takes no more commands")
    raise EngineUnavailable("the trade's workflow has not started yet; repeat the request with the same key")


async def _send(client: Client, targets: list[str], order: Command, once: Once) -> bool:
    """To the first of these workflows that runs, or ran and knows this command. False if there is none."""
    for target in targets:
        try:
            await client.get_workflow_handle(target).execute_update(
                order.update, order.argument, id=once.update_id, rpc_timeout=PATIENCE
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        else:
            return True
    return False


def _refusal(failure: WorkflowUpdateFailedError) -> Relayed:
    """An activity's refusal arrives wrapped; the innermost application error is ours."""
    cause: BaseException | None = failure.cause
    while cause is not None and not (isinstance(cause, ApplicationError) and cause.type in _BY_NAME):
        cause = cause.__cause__
    if not isinstance(cause, ApplicationError):
        return Relayed(Bug, "")
    return Relayed(_BY_NAME[cause.type or ""], cause.message)


def _with_descendants(kind: type[LiquidaError]) -> list[type[LiquidaError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _with_descendants(child))]


_BY_NAME = {kind.__name__: kind for kind in _with_descendants(LiquidaError)}
