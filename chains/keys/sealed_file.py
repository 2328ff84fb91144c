"""The wallet in one sealed file: for development, and for small installations without an HSM.

The file is JSON: scrypt turns the passphrase into a key, AES-256-GCM seals the BIP-39 entropy under it,
and everything else in the file (version, wallet id, scrypt's parameters) is authenticated with it.
"""

import os
import secrets
import unicodedata
from pathlib import Path
from typing import Annotated, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    SecretBytes,
    SecretStr,
    ValidationError,
)

from chains.keys.derivation import entropy_of, seed_of, wallet_id_of, words_of
from models.errors import InvalidInput, NotFound, Refused, SealBroken

SCRYPT_N = 2**17
"""OWASP's first choice for scrypt (2^17, 8, 1): 128 MiB and about half a second."""
SCRYPT_N_MAX = 2**20
ENTROPY_BYTES = 32
SALT_BYTES = 16
NONCE_BYTES = 12
FILE_BYTES_MAX = 4_096


def _power_of_two(n: int) -> int:
    if n.bit_count() != 1:
        raise ValueError("scrypt's n is a power of two")
    return n


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kdf(_Strict):
    """How the passphrase becomes a key. ``n`` is bounded, so that a changed file cannot eat the memory."""

    name: Literal["scrypt"] = "scrypt"
    n: Annotated[int, Field(ge=2, le=SCRYPT_N_MAX), AfterValidator(_power_of_two)]
    r: Literal[8] = 8
    p: Literal[1] = 1
    salt: Base64Bytes

    def key(self, passphrase: SecretStr) -> bytes:
        """32 bytes. The passphrase is normalised (NFKD), so that every keyboard opens the same file."""
        text = unicodedata.normalize("NFKD", passphrase.get_secret_value())
        return Scrypt(salt=self.salt, length=32, n=self.n, r=self.r, p=self.p).derive(text.encode())


class Header(_Strict):
    """The readable part, authenticated but not secret."""

    version: Literal[1] = 1
    wallet_id: str
    kdf: Kdf


class Envelope(_Strict):
    """The whole file. ``sealed``: AES-256-GCM of the entropy, the 16-byte tag at its end."""

    header: Header
    nonce: Base64Bytes
    sealed: Base64Bytes


class SealedFile:
    """Implements :class:`chains.keys.protocol.KeyStore` over one file, mode 0600, never overwritten.

    :param scrypt_n: scrypt's cost for a file made now; an existing file carries its own.
    :raises InvalidInput: an empty passphrase.
    """

    def __init__(self, path: Path, passphrase: SecretStr, *, scrypt_n: int = SCRYPT_N) -> None:
        if not passphrase.get_secret_value():
            raise InvalidInput("the wallet's passphrase is empty", field="wallet_passphrase")
        self._path = path
        self._passphrase = passphrase
        self._scrypt_n = scrypt_n

    def __repr__(self) -> str:
        return f"SealedFile({str(self._path)!r})"

    @property
    def wallet_id(self) -> str:
        """Read from the header, without the passphrase. See :class:`chains.keys.protocol.KeyStore`.

        :raises NotFound: there is no file.
        :raises SealBroken: the file is not one of ours.
        """
        return self._read().header.wallet_id

    def create(self) -> SecretStr:
        """Make a new wallet and return its 24 words, to be shown to a person once and kept on paper.

        :raises Refused: the file exists.
        """
        words = words_of(SecretBytes(secrets.token_bytes(ENTROPY_BYTES)))
        self.import_words(words)
        return words

    def import_words(self, words: SecretStr) -> None:
        """Make the file from existing words.

        :raises InvalidInput: the words are no BIP-39 mnemonic.
        :raises Refused: the file exists.
        """
        entropy = entropy_of(words)
        header = Header(
            wallet_id=wallet_id_of(seed_of(words_of(entropy))),
            kdf=Kdf.model_construct(n=_power_of_two(self._scrypt_n), salt=secrets.token_bytes(SALT_BYTES)),
        )
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(header.kdf.key(self._passphrase)).encrypt(
            nonce, entropy.get_secret_value(), _text(header).encode()
        )
        _write_new(self._path, _text(Envelope.model_construct(header=header, nonce=nonce, sealed=sealed)))

    def open(self) -> SecretBytes:
        """The BIP-39 seed, 64 bytes.

        :raises NotFound: there is no file.
        :raises SealBroken: wrong passphrase, or any byte of the file was changed.
        """
        envelope = self._read()
        key = envelope.header.kdf.key(self._passphrase)
        try:
            entropy = AESGCM(key).decrypt(envelope.nonce, envelope.sealed, _text(envelope.header).encode())
        except (InvalidTag, ValueError):
            raise SealBroken(f"{self._path}: wrong passphrase, or the file was changed") from None
        seed = seed_of(words_of(SecretBytes(entropy)))
        if wallet_id_of(seed) != envelope.header.wallet_id:
            raise SealBroken(f"{self._path}: the seed inside belongs to another wallet than the file says")
        return seed

    def _read(self) -> Envelope:
        try:
            with self._path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX)
        except FileNotFoundError:
            raise NotFound(f"{self._path}: no wallet here; create or import one first") from None
        try:
            envelope = Envelope.model_validate_json(content)
        except ValidationError:
            raise SealBroken(f"{self._path}: not a sealed wallet, or the file was changed") from None
        if _text(envelope).encode() != content:
            raise SealBroken(f"{self._path}: the file was changed")
        return envelope


def _text(model: BaseModel) -> str:
    """One writing only, so that a changed byte shows even where JSON or base64 would forgive it."""
    return model.model_dump_json()


def _write_new(path: Path, text: str) -> None:
    """Write all or nothing, and never over a file: ``link`` fails where ``rename`` would replace."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        raise Refused(f"{path}: a wallet is there already and is never overwritten") from None
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
