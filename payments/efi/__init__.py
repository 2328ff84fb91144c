"""The adapter to Efí (formerly Gerencianet): its API Pix and what it adds for sending, ``/v2/gn`` and ``/v3/gn``.

Sources: dev.efipay.com.br/docs/api-pix (envio-pagamento-pix, cobrancas-imediatas, gestao-de-pix, webhooks,
endpoints-exclusivos-efi) and bacen/pix-api ``openapi.yaml`` 2.9.0.
"""

from payments.efi.provider import EfiProvider

__all__ = ["EfiProvider"]
