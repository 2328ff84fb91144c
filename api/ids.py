"""Our ids in addresses and bodies. In an address, anything else is simply no address of ours."""

from typing import Annotated

from fastapi import Path
from pydantic import Field
from starlette.convertors import Convertor, register_url_convertor

_HEX = "[0-9a-f]{32}"
_EXAMPLES = ["7c9e6679742540de944be07fc1f90ae7"]


class _Id(Convertor[str]):
    regex = _HEX

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _Id())

IdText = Annotated[str, Field(pattern=f"^{_HEX}$", examples=_EXAMPLES)]
IdInPath = Annotated[str, Path(pattern=f"^{_HEX}$", examples=_EXAMPLES)]
