import copy
import logging
import traceback

import pytest
from eth_account import Account
from pydantic import SecretBytes, SecretStr, TypeAdapter

from chains.evm.build import build, check
from chains.evm.signer import EvmSigner
from chains.keys.derivation import seed_of
from chains.protocol import Fee, Payment, Unsigned
from models.errors import Broken, IntentMismatch, InvalidAddress, TransferImpossible

PAYEE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
THIEF = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
TOKEN = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
FEE = Fee(gas_limit=64_452, max_fee_per_gas=30 * 10**9, max_priority_fee_per_gas=10**9)


@pytest.fixture(scope="module")
def known(vectors):
    return EvmSigner(seed_of(SecretStr(vectors["bip44"]["mnemonic"])))


def unsigned_of(signer, *, contract=None, nonce=3, units=10**18):
    payment = Payment(signer.address(0), PAYEE, units, contract)
    return build(payment, nonce=nonce, fee=FEE, chain_id=1)


def altered(unsigned, **fields):
    copied = copy.deepcopy(unsigned.fields) | fields
    return Unsigned(unsigned.chain_id, unsigned.nonce, unsigned.payment, unsigned.fee, copied)


class TestEvmSigner:
    def test_derives_the_published_addresses(self, known, vectors):
        for case in vectors["bip44"]["addresses"]:
            assert case["address"] == known.address(case["index"])

    def test_signs_the_bytes_that_another_implementation_signs(self, known, vectors):
        for case in vectors["eip1559"]["transactions"]:
            payment = Payment(case["from"], case["to"], case["units"], case["contract"])
            fee = Fee(case["gas_limit"], case["max_fee_per_gas"], case["max_priority_fee_per_gas"])
            unsigned = build(payment, nonce=case["nonce"], fee=fee, chain_id=case["chain_id"])

            signed = known.sign(unsigned, index=case["index"])

            assert (signed.raw, signed.txid) == (case["raw"], case["txid"]), case["name"]

    def test_stands_on_a_library_that_signs_the_example_of_eip_155(self, vectors):
        case = vectors["eip155"]
        transaction = {
            "nonce": case["nonce"],
            "gasPrice": int(case["gas_price"]),
            "gas": case["gas"],
            "to": case["to"],
            "value": int(case["value"]),
            "chainId": case["chain_id"],
        }

        signed = Account.sign_transaction(transaction, case["private_key"])

        assert case["raw"] == signed.raw_transaction.to_0x_hex()

    @pytest.mark.parametrize("contract", [None, TOKEN])
    def test_signs_the_same_bytes_after_a_trip_through_json(self, known, contract):
        unsigned = unsigned_of(known, contract=contract, units=2**255)
        adapter = TypeAdapter(Unsigned)

        travelled = adapter.validate_json(adapter.dump_json(unsigned))

        assert known.sign(travelled, index=0) == known.sign(unsigned, index=0)

    def test_refuses_a_payment_from_another_address(self, known):
        with pytest.raises(IntentMismatch, match="index 1"):
            known.sign(unsigned_of(known), index=1)

    @pytest.mark.parametrize("contract", [None, TOKEN])
    @pytest.mark.parametrize(
        "fields",
        [
            {"type": "0x1"},
            {"chainId": "0x89"},
            {"nonce": "0x4"},
            {"nonce": 3},
            {"nonce": "0x03"},
            {"to": THIEF},
            {"to": None},
            {"value": hex(10**18 + 1)},
            {"data": "0xa9059cbb"},
            {"data": f"0x095ea7b3{THIEF[2:].lower():0>64}{10**18:064x}"},
            {"data": f"0xa9059cbb{THIEF[2:].lower():0>64}{10**18:064x}"},
            {"data": f"0xa9059cbb{PAYEE[2:].lower():0>64}{10**18 + 1:064x}"},
            {"data": f"0xa9059cbb{PAYEE[2:].lower():0>64}{10**18:064x}00"},
            {"data": f"0xa9059cbb{'1' + PAYEE[2:].lower():0>64}{10**18:064x}"},
            {"gas": hex(FEE.gas_limit + 1)},
            {"maxFeePerGas": hex(FEE.max_fee_per_gas * 2)},
            {"maxPriorityFeePerGas": hex(FEE.max_priority_fee_per_gas - 1)},
            {"accessList": [{"address": THIEF, "storageKeys": []}]},
            {"authorizationList": []},
        ],
    )
    def test_refuses_fields_that_say_something_else(self, known, fields, contract):
        with pytest.raises(IntentMismatch):
            known.sign(altered(unsigned_of(known, contract=contract), **fields), index=0)

    @pytest.mark.parametrize("name", ["type", "chainId", "to", "accessList", "data"])
    def test_refuses_fields_with_one_missing(self, known, name):
        unsigned = unsigned_of(known)
        del unsigned.fields[name]

        with pytest.raises(IntentMismatch, match="missing"):
            known.sign(unsigned, index=0)

    def test_refuses_a_native_payment_that_calls_a_token(self, known):
        intended, swapped = unsigned_of(known), unsigned_of(known, contract=TOKEN)

        with pytest.raises(IntentMismatch):
            known.sign(altered(intended, **swapped.fields), index=0)

    @pytest.mark.parametrize("index", [-1, 2**31])
    def test_refuses_an_index_that_no_wallet_derives(self, known, index):
        with pytest.raises(Broken, match="derivation index"):
            known.address(index)

    def test_tells_no_secret_in_repr_error_or_log(self, vectors, caplog):
        caplog.set_level(logging.DEBUG)
        seed = seed_of(SecretStr(vectors["bip44"]["mnemonic"]))
        signer = EvmSigner(seed)
        key = signer._account(0).key.hex()

        signer.sign(unsigned_of(signer), index=0)
        with pytest.raises(IntentMismatch) as caught:
            signer.sign(altered(unsigned_of(signer), nonce="0x4"), index=0)

        said = repr(signer) + repr(seed) + "".join(traceback.format_exception(caught.value)) + caplog.text
        assert key not in said
        assert seed.get_secret_value().hex() not in said
        assert repr(seed.get_secret_value()) not in said

    def test_keeps_other_seeds_apart(self, known):
        assert known.address(0) != EvmSigner(SecretBytes(bytes(64))).address(0)


class TestBuild:
    def test_writes_a_token_transfer_as_a_call_of_the_token(self, known):
        fields = unsigned_of(known, contract=TOKEN, units=255).fields

        assert (TOKEN, "0x0") == (fields["to"], fields["value"])
        assert f"0xa9059cbb{'0' * 24}{PAYEE[2:].lower()}{'0' * 62}ff" == fields["data"]

    @pytest.mark.parametrize("contract", [None, TOKEN])
    def test_reads_back_what_it_wrote(self, known, contract):
        check(unsigned_of(known, contract=contract, units=0))
        check(unsigned_of(known, contract=contract, units=2**256 - 1))

    @pytest.mark.parametrize("units", [-1, 2**256])
    def test_refuses_amounts_beyond_256_bits(self, known, units):
        with pytest.raises(TransferImpossible):
            unsigned_of(known, units=units)

    def test_refuses_a_recipient_with_a_wrong_checksum(self, known):
        payment = Payment(known.address(0), PAYEE.replace("5aAe", "5aae"), 1)

        with pytest.raises(InvalidAddress):
            build(payment, nonce=0, fee=FEE, chain_id=1)
