"""What to offer for a place in a block, under EIP-1559. Pure: numbers in, numbers out."""

from collections.abc import Sequence
from statistics import median_low

from chains.protocol import Fee

TRANSFER_GAS = 21_000
HISTORY_BLOCKS = 10
HISTORY_PERCENTILE = 50.0


def tip(rewards: Sequence[int], gas_used_ratios: Sequence[float]) -> int | None:
    """The usual tip in wei per gas: the median over the recent blocks which had transactions.

    :param rewards: per block, the tip at the middle of its gas (``eth_feeHistory``, percentile 50).
    :return: None when all those blocks were empty, and so say nothing.
    """
    paid = [reward for reward, used in zip(rewards, gas_used_ratios, strict=True) if used > 0]
    return median_low(paid) if paid else None


def offer(*, gas_estimate: int, base_fee: int, tip: int) -> Fee:
    """A fee that stays good while the base fee doubles: six full blocks in a row, at 12.5 % each."""
    return Fee(gas_limit=gas_limit(gas_estimate), max_fee_per_gas=2 * base_fee + tip, max_priority_fee_per_gas=tip)


def gas_limit(estimate: int) -> int:
    """The estimate and a quarter, since a contract's state can change before the transaction is mined.

    21,000 stays exact: a transfer to an account without code, whose cost is fixed by the protocol.
    """
    return estimate if estimate == TRANSFER_GAS else estimate + -(-estimate // 4)


def bump(fee: Fee, present: Fee) -> Fee:
    """A replacement offer: both fee fields 12.5 % and 1 wei above ``fee``, and never below ``present``.

    Nodes ask for 10 % (geth, ``--txpool.pricebump``) on both fields at once; some asked for 12.5 %.
    """
    return Fee(
        gas_limit=max(fee.gas_limit, present.gas_limit),
        max_fee_per_gas=max(_raised(fee.max_fee_per_gas), present.max_fee_per_gas),
        max_priority_fee_per_gas=max(_raised(fee.max_priority_fee_per_gas), present.max_priority_fee_per_gas),
    )


def _raised(per_gas: int) -> int:
    return -(-per_gas * 9 // 8) + 1
