import json
import os
import stat
import subprocess
import sys

import pytest
from pydantic import SecretStr

from chains.keys.derivation import check_derivation, entropy_of, seed_of, words_of
from chains.keys.sealed_file import SealedFile
from models.errors import InvalidInput, NotFound, Refused, SealBroken

FAST = 2**4
PASSPHRASE = SecretStr("correct horse battery staple")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys" / "wallet.sealed"


@pytest.fixture
def wallet(path):
    return SealedFile(path, PASSPHRASE, scrypt_n=FAST)


class TestDerivation:
    def test_agrees_with_the_published_vector_and_a_second_library(self):
        check_derivation()

    def test_refuses_to_run_without_libsecp256k1(self):
        program = "from chains.keys.derivation import check_derivation; check_derivation()"
        environment = {**os.environ, "ECC_BACKEND_CLASS": "eth_keys.backends.NativeECCBackend"}

        done = subprocess.run(
            [sys.executable, "-c", program],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert 1 == done.returncode
        assert "models.errors.Broken" in done.stderr

    @pytest.mark.parametrize("length", [16, 20, 24, 28, 32])
    def test_reads_back_the_words_of_any_entropy(self, length):
        words = words_of(_secret(bytes(range(length))))

        assert bytes(range(length)) == entropy_of(words).get_secret_value()

    @pytest.mark.parametrize("words", ["", "abandon", "abandon " * 12, "zebra " * 11 + "about", "liquida " * 12])
    def test_refuses_words_that_are_no_mnemonic_without_repeating_them(self, words):
        with pytest.raises(InvalidInput) as caught:
            entropy_of(SecretStr(words))

        assert not words.strip() or words.split()[0] not in caught.value.detail
        assert caught.value.__cause__ is None

    def test_makes_the_seed_of_bip_39(self, vectors):
        seed = seed_of(SecretStr(vectors["bip44"]["mnemonic"])).get_secret_value()

        assert seed.hex().startswith("5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1")


class TestSealedFile:
    def test_opens_to_the_seed_of_the_words_it_was_made_with(self, wallet, path):
        words = wallet.create()

        opened = SealedFile(path, PASSPHRASE).open()

        assert 24 == len(words.get_secret_value().split())
        assert seed_of(words) == opened

    def test_makes_another_wallet_each_time(self, tmp_path):
        wallets = [SealedFile(tmp_path / name, PASSPHRASE, scrypt_n=FAST) for name in ("a", "b")]

        words = [wallet.create() for wallet in wallets]

        assert words[0] != words[1]
        assert wallets[0].wallet_id != wallets[1].wallet_id

    def test_names_the_same_wallet_after_the_same_words(self, wallet, tmp_path):
        words = wallet.create()
        restored = SealedFile(tmp_path / "restored", SecretStr("another"), scrypt_n=FAST)

        restored.import_words(SecretStr(f"  {words.get_secret_value().upper()} "))

        assert wallet.wallet_id == restored.wallet_id
        assert wallet.open() == restored.open()

    def test_does_not_open_with_another_passphrase(self, wallet, path):
        wallet.create()

        with pytest.raises(SealBroken):
            SealedFile(path, SecretStr("correct horse battery stable")).open()

    def test_opens_with_the_same_passphrase_typed_on_another_keyboard(self, path):
        SealedFile(path, SecretStr("senha é"), scrypt_n=FAST).create()

        SealedFile(path, SecretStr("senha e\u0301")).open()

    @pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
    def test_does_not_open_after_any_byte_was_changed(self, wallet, path, flip):
        wallet.create()
        content = path.read_bytes()

        for place in range(len(content)):
            changed = bytearray(content)
            changed[place] ^= flip
            path.write_bytes(changed)
            with pytest.raises(SealBroken):
                wallet.open()

    @pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"\n", lambda c: b"", lambda c: b"[]"])
    def test_does_not_open_when_cut_or_lengthened(self, wallet, path, change):
        wallet.create()
        path.write_bytes(change(path.read_bytes()))

        with pytest.raises(SealBroken):
            wallet.open()

    def test_does_not_take_another_wallets_header(self, wallet, path, tmp_path):
        wallet.create()
        other = SealedFile(tmp_path / "other", PASSPHRASE, scrypt_n=FAST)
        other.create()
        envelope = json.loads(path.read_text())
        envelope["header"]["wallet_id"] = other.wallet_id
        path.write_text(json.dumps(envelope, separators=(",", ":")))

        with pytest.raises(SealBroken):
            wallet.open()

    @pytest.mark.parametrize("n", [0, 1, 3, 2**21, 2**40])
    def test_does_not_let_a_changed_file_choose_an_absurd_cost(self, wallet, path, n):
        wallet.create()
        envelope = json.loads(path.read_text())
        envelope["header"]["kdf"]["n"] = n
        path.write_text(json.dumps(envelope, separators=(",", ":")))

        with pytest.raises(SealBroken, match="not a sealed wallet"):
            wallet.open()

    def test_lets_only_its_owner_read_the_file(self, wallet, path):
        wallet.create()

        assert 0o600 == stat.S_IMODE(path.stat().st_mode)
        assert [path] == list(path.parent.iterdir())

    def test_never_overwrites(self, wallet, path):
        wallet.create()
        before = path.read_bytes()

        with pytest.raises(Refused, match="never overwritten"):
            wallet.create()

        assert before == path.read_bytes()
        assert [path] == list(path.parent.iterdir())

    def test_says_when_there_is_no_file(self, wallet):
        with pytest.raises(NotFound):
            wallet.open()

    def test_refuses_an_empty_passphrase(self, path):
        with pytest.raises(InvalidInput):
            SealedFile(path, SecretStr(""))

    def test_holds_nothing_readable(self, wallet, path):
        words = wallet.create()

        written = path.read_text() + repr(wallet) + repr(words)

        assert not set(words.get_secret_value().split()) & set(written.split('"'))
        assert PASSPHRASE.get_secret_value() not in written
        assert entropy_of(words).get_secret_value().hex() not in written


def _secret(value):
    from pydantic import SecretBytes

    return SecretBytes(value)
