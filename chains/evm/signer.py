"""The key-holding half of the EVM family: one seed, one key per index, signatures and nothing else."""

from functools import lru_cache
from typing import cast

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_account.types import TransactionDictType
from pydantic import SecretBytes

from chains.evm.build import build, check
from chains.keys.derivation import check_derivation, evm_keys
from chains.protocol import Fee, Payment, Signed, Unsigned
from models.errors import IntentMismatch

KEYS_CACHED_MAX = 1_024


class EvmSigner:
    """Implements :class:`chains.protocol.Signer` for every EVM network: they share one key per index.

    :param seed: the 64 bytes of BIP-39. Derived keys stay in this object's memory and nowhere else.
    :raises Broken: at construction, when the derivation or the curve library is not the one we trust.
    """

    def __init__(self, seed: SecretBytes) -> None:
        check_derivation()
        self._key = evm_keys(seed)
        self._account = lru_cache(maxsize=KEYS_CACHED_MAX)(self._derive)

    def __repr__(self) -> str:
        return "EvmSigner(keys hidden)"

    def address(self, index: int) -> str:
        """The address of ``m/44'/60'/0'/0/index``, with its EIP-55 checksum."""
        return str(self._account(index).address)

    def build(self, payment: Payment, *, nonce: int, fee: Fee, chain_id: int) -> Unsigned:
        return build(payment, nonce=nonce, fee=fee, chain_id=chain_id)

    def sign(self, unsigned: Unsigned, *, index: int) -> Signed:
        """Sign ``unsigned.fields``, after reading them back against the intent beside them.

        :raises IntentMismatch: another address than the key's, or fields that say something else.
        """
        account = self._account(index)
        if unsigned.payment.from_address != account.address:
            raise IntentMismatch(f"the payment is not from the address at index {index}")
        check(unsigned)
        signed = account.sign_transaction(cast("TransactionDictType", unsigned.fields))
        return Signed(raw=signed.raw_transaction.to_0x_hex(), txid=signed.hash.to_0x_hex())

    def _derive(self, index: int) -> LocalAccount:
        account: LocalAccount = Account.from_key(self._key(index))
        return account
