"""Orders for tests: payouts, charges, refunds."""

import uuid
from typing import Any

from payments.protocol import ChargeOrder, PayoutOrder, PixKeyKind, RefundOrder


def new_order(mood: str = "", **changes: Any) -> PayoutOrder:
    """A payout of R$ 10.50 to Ana; ``mood`` becomes the tag of her e-mail key."""
    fields: dict[str, Any] = {
        "key": uuid.uuid4().hex,
        "amount_centavos": 1_050,
        "pix_key": f"ana+{mood}@example.com" if mood else "ana@example.com",
        "pix_key_kind": PixKeyKind.EMAIL,
        "holder_name": "Ana Silva",
        "holder_tax_id": "52998224725",
        "description": "OTC sell",
    }
    return PayoutOrder(**{**fields, **changes})


def as_json(order: PayoutOrder) -> dict[str, str]:
    """The body of ``POST /v1/payouts``."""
    return {
        "key": order.key,
        "amount_centavos": str(order.amount_centavos),
        "pix_key": order.pix_key,
        "pix_key_kind": order.pix_key_kind.value,
        "holder_name": order.holder_name,
        "holder_tax_id": order.holder_tax_id,
        "description": order.description,
    }


def new_charge(**changes: Any) -> ChargeOrder:
    """A charge of R$ 10.50 to Ana."""
    fields: dict[str, Any] = {
        "key": uuid.uuid4().hex,
        "amount_centavos": 1_050,
        "expires_seconds": 900,
        "payer_name": "Ana Silva",
        "payer_tax_id": "52998224725",
        "description": "OTC buy",
    }
    return ChargeOrder(**{**fields, **changes})


def new_refund(end_to_end_id: str, **changes: Any) -> RefundOrder:
    """All of R$ 10.50 back."""
    return RefundOrder(**{"key": uuid.uuid4().hex, "amount_centavos": 1_050, **changes}, end_to_end_id=end_to_end_id)


def charge_json(order: ChargeOrder) -> dict[str, str | int]:
    """The body of ``POST /v1/charges``."""
    return {
        "key": order.key,
        "amount_centavos": str(order.amount_centavos),
        "expires_seconds": order.expires_seconds,
        "payer_name": order.payer_name,
        "payer_tax_id": order.payer_tax_id,
        "description": order.description,
    }


def refund_json(order: RefundOrder) -> dict[str, str]:
    """The body of ``POST /v1/refunds``."""
    return {
        "key": order.key,
        "end_to_end_id": order.end_to_end_id,
        "amount_centavos": str(order.amount_centavos),
    }
