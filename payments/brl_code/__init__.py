"""The adapter to a gateway of the "BRL Code" kind: two calls, one signed webhook, and no look-up by our key.

The gateway is described by what its former client knew of it: ``POST /payments/create``, ``GET /payments/{id}``,
the webhook ``payment.*``. What that does not say is not known here: it is asked about, or left to a person.
"""

from payments.brl_code.provider import BrlCodeProvider

__all__ = ["BrlCodeProvider"]
