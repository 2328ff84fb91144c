import pytest

from tests.chains import anvil


class TestAnvil:
    def test_is_never_skipped_when_it_is_missing(self, monkeypatch, tmp_path):
        monkeypatch.delenv("LIQUIDA_ANVIL", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.chdir(tmp_path)

        with pytest.raises(FileNotFoundError, match="no anvil"):
            anvil.binary()
