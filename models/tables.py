"""All tables, imported so that one metadata knows them: for Alembic and for tests that compare it."""

from models import idempotency, outbox, transitions
from models.bank_data import tables as bank_data
from models.base import metadata
from models.charge import tables as charge
from models.deposit import tables as deposit
from models.dispute import tables as dispute
from models.document import tables as document
from models.event import tables as event
from models.hold import tables as hold
from models.inbound_webhook import tables as inbound_webhook
from models.instant_trade import tables as instant_trade
from models.ledger import tables as ledger
from models.network import tables as network
from models.p2p_block import tables as p2p_block
from models.p2p_dispute import tables as p2p_dispute
from models.p2p_file import tables as p2p_file
from models.p2p_message import tables as p2p_message
from models.p2p_order import tables as p2p_order
from models.p2p_review import tables as p2p_review
from models.p2p_trade import tables as p2p_trade
from models.payment_method import tables as payment_method
from models.payout import tables as payout
from models.pix_refund import tables as pix_refund
from models.pix_withdrawal import tables as pix_withdrawal
from models.provider_health import tables as provider_health
from models.quote import tables as quote
from models.receipt import tables as receipt
from models.reconciliation import tables as reconciliation
from models.transfer import tables as transfer
from models.user import tables as user
from models.wallet import tables as wallet
from models.webhook_delivery import tables as webhook_delivery
from models.webhook_endpoint import tables as webhook_endpoint

__all__ = [
    "bank_data",
    "charge",
    "deposit",
    "dispute",
    "document",
    "event",
    "hold",
    "idempotency",
    "inbound_webhook",
    "instant_trade",
    "ledger",
    "metadata",
    "network",
    "outbox",
    "p2p_block",
    "p2p_dispute",
    "p2p_file",
    "p2p_message",
    "p2p_order",
    "p2p_review",
    "p2p_trade",
    "payment_method",
    "payout",
    "pix_refund",
    "pix_withdrawal",
    "provider_health",
    "quote",
    "receipt",
    "reconciliation",
    "transfer",
    "transitions",
    "user",
    "wallet",
    "webhook_delivery",
    "webhook_endpoint",
]
