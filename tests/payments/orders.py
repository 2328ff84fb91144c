"""Payout orders for tests."""

import uuid
from typing import Any

from payments.protocol import PayoutOrder, PixKeyKind


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
