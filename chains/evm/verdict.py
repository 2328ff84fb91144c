"""What a node means when it refuses. JSON-RPC leaves the words to each client, so they are read here.

Sources: go-ethereum ``core/error.go`` and ``core/txpool/errors.go``; anvil 1.7 as observed.
"""

ALREADY_THERE = ("already known", "already imported", "known transaction", "already exists")

OBSERVE_DECIDES = (
    "nonce too low",  # ours was mined, or the one it replaces was: the receipts tell which
    "replacement transaction underpriced",  # another attempt of ours with this nonce is in the pool
    "transaction underpriced",  # a later bump raises the offer
    "max fee per gas less than block base fee",  # a later bump raises the offer
)

NEVER_TAKEN = (
    "insufficient funds",
    "invalid chain id",
    "incompatible chain id",
    "invalid sender",
    "invalid signature",
    "intrinsic gas too low",
    "exceeds block gas limit",
    "max priority fee per gas higher than max fee per gas",
    "failed to decode",
    "empty transaction",
    "too short",
    "could not decode",
    "rlp:",
    "invalid transaction v, r, s",
    "transaction type not supported",
)

WOULD_FAIL = ("insufficient funds", "revert", "gas required exceeds", "out of gas", "invalid opcode")


def undecided(message: str) -> bool:
    """The node has these bytes, or its answer says nothing about what will become of them."""
    return _has(message, ALREADY_THERE + OBSERVE_DECIDES)


def never_taken(message: str) -> bool:
    """These bytes cannot be mined as they are."""
    return _has(message, NEVER_TAKEN)


def would_fail(message: str) -> bool:
    """The node tried the call on its present state, and it failed there."""
    return _has(message, WOULD_FAIL)


def _has(message: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in message for phrase in phrases)
