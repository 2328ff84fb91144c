"""The API, put together."""

from typing import Any

from fastapi import FastAPI

from api import problems
from api.courier import Courier
from api.deps import Services
from api.event_hub import EventHub
from api.metrics import Metrics
from api.middleware import BodyLimit, Watch
from api.problems import Bug, Problem
from api.routes import (
    bank_data,
    breaks,
    commission,
    dispute,
    event,
    event_socket,
    health,
    inbound_webhook,
    instant_trade,
    instant_trade_command,
    p2p_block,
    p2p_dispute,
    p2p_dispute_ops,
    p2p_file,
    p2p_market,
    p2p_message,
    p2p_order,
    p2p_payment_method,
    p2p_review,
    p2p_trade,
    pix_deposit,
    pix_limit,
    pix_withdrawal,
    quote,
    reconciliation,
    reputation,
    user,
    wallet,
    wallet_history,
    wallet_operation,
    webhook_delivery,
    webhook_endpoint,
)
from api.routes import document as user_document
from models.errors import DatabaseUnavailable, InvalidInput, Unauthenticated

VERSION = "0.1.0"
JWT_SECRET_BYTES_LEAST = 32
DESCRIPTION = """\
Sell crypto for Brazilian reais, paid by PIX.

* **Amounts** are decimal strings; times are RFC 3339, UTC.
* **Every POST** takes an `Idempotency-Key` (but signing in): repeat a request whose answer you did not get, with the
  same key, as often as you like.
* **Errors** are problem details (RFC 9457). Match on `type`. A `503` says that the outcome is not known or a part is
  down: repeat with the same key after `Retry-After` seconds.
* **Users** see their own trades only; another's look as if they did not exist.
"""


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """FastAPI's document, with our problem details in the place of its own validation error."""
        found = super().openapi()
        schemas = found["components"]["schemas"]
        if "Problem" in schemas:
            return found
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        definitions = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update({**definitions.pop("$defs"), "Problem": definitions})
        for operations in found["paths"].values():
            for operation in operations.values():
                if "HTTPValidationError" in str(operation["responses"].get("422", "")):
                    del operation["responses"]["422"]
        return found


def create_app(services: Services) -> FastAPI:
    """The API over these services. It opens nothing by itself, and closes nothing.

    :raises InvalidInput: the secret for tokens is too short to be one (RFC 7518, 3.2).
    """
    if len(services.jwt_secret.get_secret_value().encode()) < JWT_SECRET_BYTES_LEAST:
        raise InvalidInput(f"LIQUIDA_JWT_SECRET needs at least {JWT_SECRET_BYTES_LEAST} bytes")
    app = _build()
    app.state.services = services
    app.state.courier = Courier(services.engine, services.temporal, services.defaults)
    app.state.event_hub = EventHub(services.engine, services.streams)
    return app


def document() -> dict[str, Any]:
    """The OpenAPI document, which depends on no service."""
    return _build().openapi()


def _build() -> FastAPI:
    app = _App(
        title="Liquida",
        version=VERSION,
        description=DESCRIPTION,
        license_info={"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        responses=problems.problems(DatabaseUnavailable, Bug),
        redirect_slashes=False,
        # FastAPI would hand validation errors, and with them what people typed, to any OpenTelemetry exporter.
        telemetry={"logs": False, "tracing": False, "metrics": False, "operation_spans": False},
    )
    app.state.metrics = Metrics()
    app.add_middleware(BodyLimit)
    app.add_middleware(Watch, metrics=app.state.metrics)
    problems.install(app)
    private = problems.problems(Unauthenticated)
    for router in (
        quote.router,
        instant_trade.router,
        instant_trade_command.router,
        bank_data.router,
        user_document.router,
        wallet.router,
        wallet_history.router,
        wallet_operation.router,
        pix_deposit.router,
        pix_withdrawal.router,
        pix_limit.router,
        breaks.router,
        dispute.router,
        reconciliation.router,
        p2p_message.router,
        p2p_file.router,
        p2p_dispute.router,
        p2p_dispute_ops.router,
        p2p_trade.router,
        commission.router,
        p2p_payment_method.router,
        p2p_order.router,
        p2p_market.router,
        p2p_block.router,
        p2p_review.router,
        reputation.router,
        event.router,
        webhook_endpoint.router,
        webhook_delivery.router,
    ):
        app.include_router(router, responses=private)
    for router in (user.router, inbound_webhook.router, health.router, event_socket.router):
        app.include_router(router)
    return app
