"""What a payment method may say. Pure: no clock, no database.

No error here repeats what was typed: it is personal data, and errors are logged.
"""

import re

from models.errors import InvalidInput

METHODS_MOST = 20
"""That a user may have at once."""

_FORMS = {
    "bank": re.compile(r"[0-9]{3}|[0-9]{8}"),
    "branch": re.compile(r"[0-9]{1,5}(-[0-9X])?"),
    "account": re.compile(r"[0-9]{1,19}(-[0-9X])?"),
}
_WORDS = {
    "bank": "must be the bank's COMPE code (3 digits) or its ISPB (8 digits)",
    "branch": "must be up to 5 digits, with a check digit after a hyphen if it has one",
    "account": "must be the account's digits, with its check digit after a hyphen",
}


def account_part(field: str, text: str) -> str:
    """A bank, branch or account in its one spelling.

    :raises InvalidInput: not of its form. Whether the account exists, only its bank can say.
    Source: Bacen, Manual do SFN: COMPE and ISPB codes; a check digit may be X.
    """
    found = text.strip().upper()
    if not _FORMS[field].fullmatch(found):
        raise InvalidInput(f"{field} {_WORDS[field]}", field=field)
    return found
