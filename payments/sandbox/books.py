"""The sandbox bank's own books, in one SQLite file: payouts, what came in, the account, its statement, its letters.

Each public method of a noun is one transaction, so the process may die between any two of them. The reais, the new
state and the webhook about it are one commit; a webhook (a *letter*) stays in the file until answered.
"""

from pathlib import Path

from payments.sandbox.account import Account
from payments.sandbox.charges import Charges
from payments.sandbox.disputes import Disputes
from payments.sandbox.letters import Letters
from payments.sandbox.payouts import Payouts
from payments.sandbox.receipts import Receipts
from payments.sandbox.refunds import Refunds
from payments.sandbox.schema import open_file
from payments.sandbox.weather import Weather


class Books:
    """All state of the bank, over one connection. Times are unix seconds, amounts centavos.

    :param opening_centavos: what a new file's account begins with.
    """

    def __init__(self, file: Path | str, *, opening_centavos: int, return_seconds: float) -> None:
        self._db = open_file(file)
        with self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO account (id, balance_centavos) VALUES (1, ?)", (opening_centavos,)
            )
        self.account = Account(self._db)
        self.letters = Letters(self._db)
        self.weather = Weather(self._db)
        self.payouts = Payouts(self._db, self.account, self.letters, return_seconds=return_seconds)
        self.charges = Charges(self._db)
        self.receipts = Receipts(self._db, self.account, self.letters)
        self.refunds = Refunds(self._db, self.account, self.receipts, self.letters)
        self.disputes = Disputes(self._db, self.account, self.receipts, self.letters)

    def advance(self, now: float) -> None:
        """Everything whose time has come happens: payouts and refunds."""
        self.payouts.advance(now)
        self.refunds.advance(now)

    def close(self) -> None:
        self._db.close()
