"""Where the one seed of the house is kept. Only the custody worker opens a key store."""

from typing import Protocol

from pydantic import SecretBytes


class KeyStore(Protocol):
    """A wallet's seed at rest."""

    @property
    def wallet_id(self) -> str:
        """Names the wallet, telling no secret: the BIP-32 identifier of its master key, 40 hex digits."""
        ...

    def open(self) -> SecretBytes:
        """The BIP-39 seed, 64 bytes. Blocks for about a second: keys are slow to open on purpose.

        :raises models.errors.SealBroken: wrong passphrase, or the stored bytes were changed.
        """
        ...
