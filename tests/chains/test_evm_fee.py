import pytest

from chains.evm.fee import bump, gas_limit, offer, tip
from chains.protocol import Fee


class TestOffer:
    def test_leaves_room_for_the_base_fee_to_double(self):
        assert Fee(21_000, 207, 7) == offer(gas_estimate=21_000, base_fee=100, tip=7)

    def test_works_on_a_chain_without_a_base_fee(self):
        assert Fee(21_000, 50, 50) == offer(gas_estimate=21_000, base_fee=0, tip=50)

    @pytest.mark.parametrize(("estimate", "limit"), [(21_000, 21_000), (21_001, 26_252), (50_000, 62_500)])
    def test_adds_a_quarter_to_all_gas_but_a_plain_transfers(self, estimate, limit):
        assert limit == gas_limit(estimate)


class TestTip:
    def test_is_the_median_of_the_blocks_that_had_transactions(self):
        assert 7 == tip([0, 5, 900, 7, 0], [0.0, 0.5, 0.1, 1.0, 0.0])

    def test_is_unknown_when_all_blocks_were_empty(self):
        assert tip([0, 0], [0.0, 0.0]) is None


class TestBump:
    @pytest.mark.parametrize("per_gas", [0, 1, 7, 8, 9, 1_000_000_000, 30_000_000_001, 2**200])
    def test_raises_both_fields_by_what_every_node_accepts(self, per_gas):
        old = Fee(21_000, per_gas, per_gas)

        new = bump(old, present=Fee(21_000, 0, 0))

        for before, after in (
            (old.max_fee_per_gas, new.max_fee_per_gas),
            (old.max_priority_fee_per_gas, new.max_priority_fee_per_gas),
        ):
            assert after > before
            assert after * 100 >= before * 110
            assert after * 1000 >= before * 1125

    def test_goes_to_the_present_price_when_that_is_higher(self):
        assert Fee(21_000, 5_000, 300) == bump(Fee(21_000, 100, 1), present=Fee(21_000, 5_000, 300))

    def test_never_goes_below_the_larger_gas_limit(self):
        assert 60_000 == bump(Fee(60_000, 1, 1), present=Fee(50_000, 1, 1)).gas_limit
