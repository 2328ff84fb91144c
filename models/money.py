"""Money: whole base units of one asset, exact everywhere, a string on every wire."""

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from typing import Annotated, Self

from pydantic import BeforeValidator, PlainSerializer
from pydantic.dataclasses import dataclass

from models.assets import Asset
from models.errors import AssetMismatch, NotAnAmount, TooPrecise

EXACT = Context(prec=200, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, InvalidOperation])
"""A decimal context that raises rather than rounds; 200 digits hold any sum of 2^256 with 18 decimals."""

ROUNDING = Context(prec=min(200, MAX_PREC), traps=[InvalidOperation])
"""For products and quotients, whose rounding each caller names with ``quantize(rounding=...)``."""

TEXT_LENGTH_MAX = 100
UNITS_MAX = 2**256


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("base units are a whole number, as int or decimal string")  # noqa: TRY004 pydantic reads ValueError
    return int(value)


Units = Annotated[int, BeforeValidator(_whole), PlainSerializer(str, return_type=str, when_used="json")]
"""Base units (wei, satoshi, centavos). Refuses float; a string in JSON, where viewers round above 2^53."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A signed number of base units of one asset: ``Amount(1_050, "BRL")`` is R$ 10.50.

    There is no ``*`` and no ``/``: prices and fees multiply in ``models/quote/rules.py``,
    where each rounding names its direction and who gains.
    """

    units: Units
    asset: str

    @classmethod
    def parse(cls, text: str, asset: Asset, *, field: str = "amount") -> Self:
        """Read ``"10.50"`` exactly. The inverse of :meth:`text`.

        :raises NotAnAmount: not a plain decimal number, or beyond ±2^256 base units.
        :raises TooPrecise: more decimals than the asset has; nothing is rounded away.
        """
        if len(text) > TEXT_LENGTH_MAX:
            raise NotAnAmount(f"{field} has {len(text)} characters; at most {TEXT_LENGTH_MAX} are read", field=field)
        digits = text.removeprefix("-")
        if not digits.replace(".", "", 1).isascii() or not digits.replace(".", "", 1).isdigit():
            raise NotAnAmount(f"{field} must be a plain decimal number such as '1.5'", field=field)
        scaled = EXACT.scaleb(Decimal(text), asset.decimals)
        if scaled != scaled.to_integral_value():
            raise TooPrecise(f"{asset.symbol} has {asset.decimals} decimals; {field} has more", field=field)
        units = int(scaled)
        if abs(units) >= UNITS_MAX:
            raise NotAnAmount(f"{field} is larger than any {asset.symbol} balance can be", field=field)
        return cls(units, asset.id)

    def text(self, asset: Asset) -> str:
        """``"10.50"``: all of the asset's decimals, never an exponent."""
        if asset.id != self.asset:
            raise AssetMismatch(f"{self.asset} written as {asset.id}")
        return units_text(self.units, asset.decimals)

    def __add__(self, other: "Amount") -> "Amount":
        self._same(other)
        return Amount(self.units + other.units, self.asset)

    def __sub__(self, other: "Amount") -> "Amount":
        self._same(other)
        return Amount(self.units - other.units, self.asset)

    def __neg__(self) -> "Amount":
        return Amount(-self.units, self.asset)

    def _same(self, other: "Amount") -> None:
        if self.asset != other.asset:
            raise AssetMismatch(f"{self.asset} and {other.asset} in one sum")


def units_text(units: int, decimals: int) -> str:
    """``units_text(1_050, 2) == "10.50"``: base units as a plain decimal string."""
    return f"{EXACT.scaleb(Decimal(units), -decimals):f}"
