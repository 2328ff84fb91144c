"""Every error of ours, in one tree. The branch decides the retry and the HTTP answer.

::

    LiquidaError
    ├── Refused   asked for something we will not do    4xx  never retried
    ├── Unknown   an effect may have happened           503  asked again by key
    └── Broken    one of our own laws failed            500  stop, page a person
"""

from typing import ClassVar


class LiquidaError(Exception):
    """The root. ``type`` is the stable slug that clients match on.

    :param detail: one sentence for the person who must act: what is wrong and what to do.
    :param field: the request field at fault, if one is (``amount``, ``refund_address``).
    """

    type: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class Refused(LiquidaError):
    type = "refused"
    title = "Refused"
    status = 409


class Unknown(LiquidaError):
    type = "unknown-outcome"
    title = "The outcome is not known yet"
    status = 503
    retryable = True


class Broken(LiquidaError):
    type = "internal-law-broken"
    title = "One of our own laws failed"
    status = 500


class EngineUnavailable(Unknown):
    """Temporal does not answer. What was accepted stays accepted."""

    type = "engine-unavailable"
    title = "The workflow engine does not answer"


class DatabaseUnavailable(Unknown):
    type = "database-unavailable"
    title = "The database does not answer"


class InvalidInput(Refused):
    type = "invalid-input"
    title = "Invalid input"
    status = 422


class NotAnAmount(InvalidInput):
    type = "not-an-amount"
    title = "Not an amount"


class TooPrecise(InvalidInput):
    type = "too-precise"
    title = "More decimals than the asset has"


class AssetMismatch(Broken):
    type = "asset-mismatch"
    title = "Two assets in one sum"


class UnknownAsset(InvalidInput):
    type = "unknown-asset"
    title = "Unknown asset"


class UnknownNetwork(InvalidInput):
    type = "unknown-network"
    title = "Unknown network"


class InvalidAddress(InvalidInput):
    type = "invalid-address"
    title = "Not an address of this network"


class InvalidPixKey(InvalidInput):
    type = "invalid-pix-key"
    title = "Not a PIX key of this kind"


class LimitExceeded(Refused):
    type = "limit-exceeded"
    title = "Outside the limits"
    status = 422


class InsufficientFunds(Refused):
    type = "insufficient-funds"
    title = "Insufficient funds"
    status = 409


class DocumentMissing(Refused):
    """Nobody is paid whose document no operator has seen."""

    type = "document-missing"
    title = "Your document is not verified yet"
    status = 422


class DocumentDiffers(Refused):
    """A verified document never changes silently."""

    type = "document-differs"
    title = "The user has another verified document"
    status = 409


class DocumentTaken(Refused):
    """A person has one account."""

    type = "document-taken"
    title = "Another user has this document"
    status = 409


class NotTheHolder(Refused):
    """Reais go to the user's own account, and to no third party's."""

    type = "not-the-holder"
    title = "The PIX key is not the user's own"
    status = 422


class KeyTooNew(Refused):
    type = "key-too-new"
    title = "The PIX key is too new for so much"
    status = 422


class HoldExceeded(Refused):
    type = "hold-exceeded"
    title = "More than is left of the hold"
    status = 409


class IllegalTransition(Refused):
    type = "illegal-transition"
    title = "Not possible in the present state"
    status = 409


class TakeRefused(Refused):
    """``reason``: a ``TakeRefusal``."""

    type = "take-refused"
    title = "You cannot take this order now"
    status = 409

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, field="order_id")
        self.reason = reason


class StaleVersion(Refused):
    """Somebody changed it since it was read; nothing is written over what its writer has not seen."""

    type = "stale-version"
    title = "It was changed since you read it"
    status = 409


class PriceMoved(Refused):
    """Nobody trades at a price that is worse than the one they named."""

    type = "price-moved"
    title = "The price is worse than the one you accept"
    status = 409


class InUse(Refused):
    type = "in-use"
    title = "Something that is not over needs it as it is"
    status = 409


class PurchasesUnavailable(Refused):
    type = "purchases-unavailable"
    title = "Nothing can be bought here now"
    status = 409


class QuoteExpired(Refused):
    type = "quote-expired"
    title = "The quote has expired"
    status = 410


class QuoteUsed(Refused):
    type = "quote-used"
    title = "The quote was used before"
    status = 409


class PriceUnavailable(Unknown):
    type = "price-unavailable"
    title = "No market price at the moment"


class NotFound(Refused):
    type = "not-found"
    title = "Not found"
    status = 404


class Unauthenticated(Refused):
    type = "unauthenticated"
    title = "Who are you?"
    status = 401


class Forbidden(Refused):
    type = "forbidden"
    title = "Not allowed for your role"
    status = 403


class IdempotencyMismatch(Refused):
    type = "idempotency-mismatch"
    title = "This Idempotency-Key was used for another request"
    status = 422


class RequestInProgress(Refused):
    type = "request-in-progress"
    title = "The first request with this Idempotency-Key is still running"
    status = 409


class TooManyStreams(Refused):
    type = "too-many-streams"
    title = "Too many open streams of yours"
    status = 429


class WebhookRejected(Refused):
    type = "webhook-rejected"
    title = "The webhook's signature or time is wrong"
    status = 401


class TooManyMessages(Refused):
    """Somebody writes faster than people do."""

    type = "too-many-messages"
    title = "Too many messages at once"
    status = 429


class EvidenceUnavailable(Refused):
    type = "evidence-unavailable"
    title = "No evidence packs are made here"
    status = 409


class PayloadTooLarge(Refused):
    type = "payload-too-large"
    title = "The body is too large"
    status = 413


class OperationKeyReused(Broken):
    type = "operation-key-reused"
    title = "One operation key, two contents"


class LedgerUnbalanced(Broken):
    type = "ledger-unbalanced"
    title = "A ledger transaction does not sum to zero"


class IntentMismatch(Broken):
    """Custody was asked to sign something that the intent row does not say."""

    type = "intent-mismatch"
    title = "The intent row does not allow this signature"


class ForeignNonce(Broken):
    """The chain has seen a nonce that we never gave out: somebody else holds the key."""

    type = "foreign-nonce"
    title = "A nonce was used outside this system"


class BroadcastUnknown(Unknown):
    type = "broadcast-unknown"
    title = "The node did not say whether it took the transaction"


class NodeUnavailable(Unknown):
    type = "node-unavailable"
    title = "The chain's node does not answer"


class HouseWalletLow(Unknown):
    """The house's own address cannot pay for gas or a refund now; it goes on once it is funded."""

    type = "house-wallet-low"
    title = "The house wallet must be funded"


class TransferImpossible(Refused):
    """The chain says, before anything is signed, that this transfer cannot succeed."""

    type = "transfer-impossible"
    title = "The chain refuses this transfer"


class PayoutUnknown(Unknown):
    type = "payout-unknown"
    title = "The provider did not say whether it took the payout"


class ProviderBalanceTooLow(PayoutUnknown):
    """The provider took nothing: our account there is short. The same key is sent again after a top-up."""

    type = "provider-balance-too-low"
    title = "Our account at the provider cannot cover the payout"


class ProviderLimitReached(PayoutUnknown):
    """The provider took nothing: a limit of the hour or the day. The same key is sent again later."""

    type = "provider-limit-reached"
    title = "The provider's limit for now is reached"


class PayoutRefused(Refused):
    """The provider answered that this payout will never happen. ``reason`` is its code.

    Codes are the SPI's ISO 20022 reasons (``AC03``, ``BE01``, ...) where the provider gives them.
    """

    type = "payout-refused"
    title = "The provider refused the payout"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail)
        self.reason = reason


class StackUnavailable(Refused):
    """A part of the embedded stack cannot start or go on; the sentence says which and what to do."""

    type = "stack-unavailable"
    title = "The embedded stack cannot run"
    status = 503


class SealBroken(Broken):
    type = "seal-broken"
    title = "A sealed secret does not open"
