"""No person and no secret can be read in a log line, whoever wrote it."""

import io
import json
import logging

import pytest
import structlog

from liquida.logging import configure


@pytest.fixture
def heard():
    configure(level="INFO", json=True)
    stream = io.StringIO()
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before)


SECRETS = [
    "529.982.247-25",
    "52998224725",
    "ana.nogueira@example.com",
    "12.ABC.345/01DE-35",
    "lq_3q2-7wEjRr0Zl5mYJ2k1v8xQw9Ht6Yb4",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "postgresql+asyncpg://liquida:hunter22@db/liquida",
]


class TestLog:
    @pytest.mark.parametrize("secret", SECRETS)
    def test_hides_what_looks_like_a_person_or_a_secret(self, heard, secret: str):
        structlog.get_logger().info("something.happened", note=f"before {secret} after")
        logging.getLogger("some.library").warning("it said %s", secret)

        assert secret not in heard.getvalue()
        assert "before" in heard.getvalue()

    @pytest.mark.parametrize("name", ["pix_key", "cpf", "holder_name", "password", "raw", "wallet_passphrase"])
    def test_hides_fields_by_their_name(self, heard, name: str):
        structlog.get_logger().info("something.happened", **{name: "plain words"}, inner={name: "plain words"})

        assert "plain words" not in heard.getvalue()

    def test_hides_them_in_tracebacks_too(self, heard):
        try:
            raise ValueError("Key (email)=(ana.nogueira@example.com) already exists")
        except ValueError:
            structlog.get_logger().exception("it.failed")

        assert "ana.nogueira" not in heard.getvalue()
        assert "ValueError" in heard.getvalue()

    def test_leaves_ids_amounts_and_addresses_readable(self, heard):
        told = {
            "trade_id": "7c9e6679742540de944be07fc1f90ae7",
            "amount_units": "500000000000000000",
            "address": "0x9858EfFD232B4033E47d90003D41EC34EcaEda94",
            "pix_key_kind": "email",
        }

        structlog.get_logger().info("transfer.broadcast", **told)

        line = json.loads(heard.getvalue())
        assert told == {name: line[name] for name in told}
