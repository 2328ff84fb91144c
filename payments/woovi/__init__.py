"""The adapter to Woovi (OpenPix): its words into ours, and no guessing.

Woovi knows each operation by the ``correlationID`` we choose. A payout is first created, which moves
nothing, and then approved, which does.

Source: developers.woovi.com (repository woovibr/woovi-developers: ``docs/`` and ``static/swaggers/woovi.json``).
"""

from payments.woovi.client import PRODUCTION_URL, SANDBOX_URL
from payments.woovi.provider import WooviProvider
from payments.woovi.webhooks import PUBLISHED_KEY

__all__ = ["PRODUCTION_URL", "PUBLISHED_KEY", "SANDBOX_URL", "WooviProvider"]
