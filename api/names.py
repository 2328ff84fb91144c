"""A person's or a company's name, as a document says it."""

from typing import Annotated

from pydantic import Field

PersonName = Annotated[
    str,
    Field(
        min_length=2,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        examples=["Ana Maria da Silva"],
    ),
]
