"""Personal data at rest: AES-256-GCM, each value bound to the row it belongs to."""

import base64
import hmac
from hashlib import sha256
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from models.errors import SealBroken

_NONCE_BYTES = 12
_KEY_BYTES = 32


class SecretBox:
    """Seals text for one column of one row.

    :param key_base64: 32 random bytes, base64.
    :raises SealBroken: the key is not 32 bytes.
    """

    def __init__(self, key_base64: str) -> None:
        try:
            key = base64.b64decode(key_base64, validate=True)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise SealBroken("LIQUIDA_DATA_KEY must be 32 bytes in base64")
        self._cipher = AESGCM(_derive(key, b"liquida/seal"))
        self._hash_key = _derive(key, b"liquida/look-up")

    def seal(self, text: str, *, place: str) -> bytes:
        """Encrypt ``text`` for ``place`` (``user_bank_data/<id>/pix_key``); it opens nowhere else."""
        return self.seal_bytes(text.encode(), place=place)

    def open(self, sealed: bytes, *, place: str) -> str:
        """:raises SealBroken: changed, moved to another row, or sealed with another key."""
        return self.open_bytes(sealed, place=place).decode()

    def seal_bytes(self, clear: bytes, *, place: str) -> bytes:
        """As :meth:`seal`, of what is not text, such as an image."""
        nonce = urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, clear, place.encode())

    def open_bytes(self, sealed: bytes, *, place: str) -> bytes:
        """:raises SealBroken: changed, moved to another row, or sealed with another key."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken(f"the sealed value of {place} does not open with this key") from error

    def fingerprint(self, text: str) -> bytes:
        """A keyed hash for equality look-ups; useless without the key."""
        return hmac.digest(self._hash_key, text.encode(), sha256)


def tax_id_fingerprint(box: SecretBox, tax_id: str) -> bytes:
    """The one fingerprint of a CPF or CNPJ, however it is punctuated; no other kind of text shares it."""
    bare = "".join(character for character in tax_id if character.isalnum()).upper()
    return box.fingerprint(f"tax_id/{bare}")


def same(box: SecretBox, fingerprint: bytes, tax_id: str) -> bool:
    """Whether ``tax_id`` is the one that was fingerprinted, which nobody needs to open for it.

    :param tax_id: whole; a masked one is never the same.
    """
    return hmac.compare_digest(fingerprint, tax_id_fingerprint(box, tax_id))


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(algorithm=hashes.SHA256(), length=_KEY_BYTES, info=purpose).derive(key)
