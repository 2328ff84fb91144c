"""From words to keys: BIP-39, BIP-32 and BIP-44, by bip-utils, watched over by a second library.

A wrong derivation sends money to addresses that nobody can open, so each signer checks at start that
both libraries agree with a published vector, and that signatures come from libsecp256k1: eth-keys falls
back in silence to Python code which is slow and leaks keys through its timing.
"""

from collections.abc import Callable
from functools import cache

from bip_utils import (
    Bip32Slip10Secp256k1,
    Bip39Languages,
    Bip39MnemonicDecoder,
    Bip39MnemonicEncoder,
    Bip39SeedGenerator,
    Bip44,
    Bip44Changes,
    Bip44Coins,
    MnemonicChecksumError,
)
from bip_utils.ecc.conf import EccConf
from eth_account import Account
from eth_account.hdaccount import key_from_seed
from eth_keys.backends.coincurve import CoinCurveECCBackend
from pydantic import SecretBytes, SecretStr

from models.errors import Broken, InvalidInput

INDEX_MAX = 2**31 - 1
"""BIP-32 indexes above are hardened ones."""

VECTOR_WORDS = SecretStr("abandon " * 11 + "about")
VECTOR_ADDRESS = "0x9858EfFD232B4033E47d90003D41EC34EcaEda94"
"""Address 0 of the best-known BIP-39 test words on ``m/44'/60'/0'/0/0``, the same in every wallet."""


def entropy_of(words: SecretStr) -> SecretBytes:
    """The 16 to 32 bytes behind English BIP-39 words.

    :raises InvalidInput: not 12 to 24 words of the list, or their checksum is wrong.
    """
    try:
        entropy = Bip39MnemonicDecoder(Bip39Languages.ENGLISH).Decode(words.get_secret_value())
    except (ValueError, MnemonicChecksumError):
        raise InvalidInput(
            "not a BIP-39 mnemonic: 12 to 24 English words with a right checksum", field="mnemonic"
        ) from None
    return SecretBytes(entropy)


def words_of(entropy: SecretBytes) -> SecretStr:
    """The English BIP-39 words for entropy. The inverse of :func:`entropy_of`."""
    return SecretStr(str(Bip39MnemonicEncoder(Bip39Languages.ENGLISH).Encode(entropy.get_secret_value())))


def seed_of(words: SecretStr) -> SecretBytes:
    """The 64-byte BIP-39 seed of valid words, with an empty BIP-39 passphrase."""
    return SecretBytes(Bip39SeedGenerator(words.get_secret_value(), Bip39Languages.ENGLISH).Generate())


def wallet_id_of(seed: SecretBytes) -> str:
    """The BIP-32 identifier (HASH160) of the master public key: 40 hex digits, telling nothing secret."""
    master = Bip32Slip10Secp256k1.FromSeed(seed.get_secret_value())
    return str(master.PublicKey().KeyIdentifier().hex())


def evm_keys(seed: SecretBytes) -> Callable[[int], bytes]:
    """From an index to the private key at ``m/44'/60'/0'/0/index`` (BIP-44, SLIP-44 coin 60).

    One path serves all EVM networks. The function raises Broken for an index that BIP-32 does not have.
    """
    account = Bip44.FromSeed(seed.get_secret_value(), Bip44Coins.ETHEREUM).Purpose().Coin().Account(0)
    chain = account.Change(Bip44Changes.CHAIN_EXT)

    def key(index: int) -> bytes:
        if not 0 <= index <= INDEX_MAX:
            raise Broken(f"derivation index {index} is outside 0..{INDEX_MAX}")
        return bytes(chain.AddressIndex(index).PrivateKey().Raw().ToBytes())

    return key


@cache
def check_derivation() -> None:
    """Prove once per process that keys are derived and used as everybody else does.

    :raises Broken: signatures would not come from coincurve, or a library left the published vector.
    """
    if not isinstance(Account._keys.backend, CoinCurveECCBackend) or not EccConf.USE_COINCURVE:  # noqa: SLF001 no public way tells the backend in use
        raise Broken("eth-keys or bip-utils does not use coincurve: install coincurve, unset ECC_BACKEND_CLASS")
    seed = seed_of(VECTOR_WORDS)
    ours = evm_keys(seed)(0)
    if ours != key_from_seed(seed.get_secret_value(), "m/44'/60'/0'/0/0"):
        raise Broken("bip-utils and eth-account derive different keys")
    if Account.from_key(ours).address != VECTOR_ADDRESS:
        raise Broken("the derived address is not the published one")
