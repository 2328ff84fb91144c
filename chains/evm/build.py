"""A payment as the fields of an EIP-1559 transaction, and those fields read back.

Custody reads every field back before it signs, by its own way and not by building again, so neither a
changed row nor a fault in :func:`build` can move money that the payment does not name.
"""

import re
from typing import TypedDict

from pydantic import JsonValue

from chains.evm.address import EvmAddressFormat
from chains.protocol import Fee, Payment, Unsigned
from models.errors import IntentMismatch, TransferImpossible

TRANSFER_SELECTOR = "a9059cbb"
"""ERC-20 ``transfer(address,uint256)``: the first four bytes of its Keccak-256."""

TRANSFER_DATA = re.compile(rf"0x{TRANSFER_SELECTOR}0{{24}}([0-9a-f]{{40}})([0-9a-f]{{64}})")
QUANTITY = re.compile(r"0x(0|[1-9a-f][0-9a-f]*)")
WORD = 2**256
NAMES = frozenset(
    (
        "type",
        "chainId",
        "nonce",
        "to",
        "value",
        "data",
        "gas",
        "maxFeePerGas",
        "maxPriorityFeePerGas",
        "accessList",
    )
)


class Call(TypedDict):
    """What a payment does on the chain. ``value`` in wei, ``data`` as ``0x`` hex."""

    to: str
    value: int
    data: str


def call(payment: Payment) -> Call:
    """The recipient, value and data that carry out ``payment``.

    :raises InvalidAddress: an address of the payment is none.
    :raises TransferImpossible: ``units`` do not fit in 256 bits or are negative.
    """
    recipient = EvmAddressFormat().parse(payment.to_address)
    if not 0 <= payment.units < WORD:
        raise TransferImpossible("the amount is negative or does not fit in 256 bits")
    if payment.contract is None:
        return Call(to=recipient, value=payment.units, data="0x")
    contract = EvmAddressFormat().parse(payment.contract)
    return Call(to=contract, value=0, data=transfer_data(recipient, payment.units))


def transfer_data(recipient: str, units: int) -> str:
    """Calldata of ERC-20 ``transfer(recipient, units)``, as ``0x`` hex."""
    return f"0x{TRANSFER_SELECTOR}{recipient[2:].lower():0>64}{units:064x}"


def build(payment: Payment, *, nonce: int, fee: Fee, chain_id: int) -> Unsigned:
    """The unsigned transaction, its ``fields`` named and written as in JSON-RPC (quantities as ``0x`` hex).

    :raises InvalidAddress: see :func:`call`.
    :raises TransferImpossible: see :func:`call`.
    """
    action = call(payment)
    fields: dict[str, JsonValue] = {
        "type": "0x2",
        "chainId": hex(chain_id),
        "nonce": hex(nonce),
        "to": action["to"],
        "value": hex(action["value"]),
        "data": action["data"],
        "gas": hex(fee.gas_limit),
        "maxFeePerGas": hex(fee.max_fee_per_gas),
        "maxPriorityFeePerGas": hex(fee.max_priority_fee_per_gas),
        "accessList": [],
    }
    return Unsigned(chain_id, nonce, payment, fee, fields)


def check(unsigned: Unsigned) -> None:
    """Read ``fields`` back and compare with the payment, nonce, fee and chain id beside them.

    :raises IntentMismatch: naming the first thing that differs, never its content.
    """
    fields, payment, fee = unsigned.fields, unsigned.payment, unsigned.fee
    if fields.keys() != NAMES:
        raise IntentMismatch("the transaction has fields missing or too many")
    recipient, units, contract = _transfer(fields)
    comparisons = {
        "type": (_number(fields, "type"), 2),
        "chain id": (_number(fields, "chainId"), unsigned.chain_id),
        "nonce": (_number(fields, "nonce"), unsigned.nonce),
        "gas limit": (_number(fields, "gas"), fee.gas_limit),
        "fee": (_number(fields, "maxFeePerGas"), fee.max_fee_per_gas),
        "tip": (_number(fields, "maxPriorityFeePerGas"), fee.max_priority_fee_per_gas),
        "access list": (fields["accessList"], []),
        "recipient": (recipient, payment.to_address.lower()),
        "amount": (units, payment.units),
        "token": (contract, payment.contract.lower() if payment.contract else None),
    }
    for name, (said, meant) in comparisons.items():
        if said != meant:
            raise IntentMismatch(f"the transaction's {name} is not the intent's")


def _transfer(fields: dict[str, JsonValue]) -> tuple[str, int, str | None]:
    """Recipient, units and token contract that the fields move, addresses in lower case."""
    target, data, value = _text(fields, "to"), _text(fields, "data"), _number(fields, "value")
    if data == "0x":
        return target.lower(), value, None
    arguments = TRANSFER_DATA.fullmatch(data)
    if arguments is None or value != 0:
        raise IntentMismatch("the transaction's data is not a plain ERC-20 transfer")
    recipient, units = arguments.groups()
    return f"0x{recipient}", int(units, 16), target.lower()


def _text(fields: dict[str, JsonValue], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise IntentMismatch(f"the transaction's {name} is not text")
    return value


def _number(fields: dict[str, JsonValue], name: str) -> int:
    text = _text(fields, name)
    if not QUANTITY.fullmatch(text):
        raise IntentMismatch(f"the transaction's {name} is not a JSON-RPC quantity")
    return int(text, 16)
