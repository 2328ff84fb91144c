"""What every network family offers, in two halves that live in different processes.

:class:`Chain` talks to nodes and holds no key (queue ``chain``). :class:`Signer` holds keys and
talks to nobody (queue ``custody``). Amounts are base units; addresses are the network's own text.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Protocol

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from models.money import Units


@dataclass(frozen=True, slots=True)
class Payment:
    """One transfer to be built: ``units`` of the native coin, or of the token at ``contract``."""

    from_address: str
    to_address: str
    units: Units
    contract: str | None = None


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee offer in base units of the native coin.

    EVM (EIP-1559): at most ``gas_limit * max_fee_per_gas`` wei are spent.
    """

    gas_limit: Units
    max_fee_per_gas: Units
    max_priority_fee_per_gas: Units

    @property
    def most(self) -> int:
        """The most that can be spent, in base units of the native coin."""
        return self.gas_limit * self.max_fee_per_gas


@dataclass(frozen=True, slots=True)
class Unsigned:
    """All that the signature will commit to, as plain JSON: what is reviewed is what is signed."""

    chain_id: int
    nonce: int
    payment: Payment
    fee: Fee
    fields: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Signed:
    """``raw``: the bytes that go on the wire, as ``0x`` hex. ``txid``: known before sending."""

    raw: str
    txid: str


class Seen(StrEnum):
    """Where a transaction of ours is, as one node sees it now."""

    UNSEEN = "unseen"
    MEMPOOL = "mempool"
    MINED = "mined"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True)
class Observation:
    """``confirmations`` counts the transaction's own block as 1; 0 while not in a block.

    ``fee_units``: what the mined transaction really cost, base units of the native coin.
    ``REVERTED`` is mined, with its fee spent and nothing moved.
    """

    seen: Seen
    confirmations: int = 0
    block_height: int | None = None
    block_hash: str | None = None
    fee_units: Units = 0


@dataclass(frozen=True, slots=True)
class Block:
    """``time`` is the block's own timestamp, Unix seconds."""

    height: int
    hash: str
    parent_hash: str
    time: int


@dataclass(frozen=True, slots=True)
class Incoming:
    """A transfer found in a block. ``(txid, index)`` is unique and stays the same
    through a reorg; index -1 is the native transfer itself, else the event's place within its transaction."""

    txid: str
    index: int
    from_address: str
    to_address: str
    contract: str | None
    units: Units
    block: Block


class Chain(Protocol):
    """The node-facing half. Every call has its own time limit.

    :raises models.errors.NodeUnavailable: from any call, when no endpoint answers.
    """

    async def chain_id(self) -> int:
        """The chain id that the node itself reports, to be compared with ours at start."""
        ...

    async def head(self) -> Block: ...

    async def block(self, height: int) -> Block | None:
        """The block at a height on the present best chain; None above the head."""
        ...

    async def balance(self, address: str, contract: str | None = None) -> int:
        """Base units at the latest block."""
        ...

    async def nonce(self, address: str) -> int:
        """The next nonce, counting transactions in the pool (``pending``)."""
        ...

    async def estimate_fee(self, payment: Payment) -> Fee:
        """A fee that should be mined soon, with a margin for a rising base fee.

        :raises models.errors.TransferImpossible: the node says the transfer would fail.
        """
        ...

    def bump(self, fee: Fee, present: Fee) -> Fee:
        """A replacement offer for a stuck transaction with the same nonce.

        Both fee fields at least 12.5 % above ``fee`` (nodes ask for 10 %), and never below ``present``.
        """
        ...

    async def broadcast(self, signed: Signed) -> None:
        """Hand the raw bytes to the network. Harmless to repeat: the same bytes are one transaction.

        Returns when a node has it or already had it, and also on answers that do not decide
        ("nonce too low"): only :meth:`observe` decides.
        :raises models.errors.BroadcastUnknown: no clear answer; send the same bytes again.
        :raises models.errors.TransferImpossible: no node will ever take these bytes
            (wrong chain id, malformed, not enough coins for gas).
        """
        ...

    async def observe(self, txid: str) -> Observation: ...

    async def scan(
        self, first: int, last: int, *, addresses: Collection[str], contracts: Collection[str]
    ) -> list[Incoming]:
        """Transfers to ``addresses`` in blocks ``first``..``last``: native, and of the listed tokens.

        Successful ones only. In chain order.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Safe to repeat."""
        ...


class AddressFormat(Protocol):
    """Reads what people type. Pure; holds nothing."""

    def parse(self, text: str) -> str:
        """The address in the network's canonical form.

        :raises models.errors.InvalidAddress: wrong checksum, length, network or not an address.
        """
        ...


class Signer(Protocol):
    """The key-holding half: derives and signs, talks to no one."""

    def address(self, index: int) -> str:
        """The custody address at a derivation index. Index 0 is the house's own."""
        ...

    def build(self, payment: Payment, *, nonce: int, fee: Fee, chain_id: int) -> Unsigned:
        """What will be signed, in full and readable. Pure."""
        ...

    def sign(self, unsigned: Unsigned, *, index: int) -> Signed:
        """Sign exactly ``unsigned`` with the key at ``index``; deterministic (RFC 6979).

        :raises models.errors.IntentMismatch: ``payment.from_address`` is not the key's address, or
            ``fields`` do not say what ``payment``, ``nonce`` and ``fee`` say.
        """
        ...
