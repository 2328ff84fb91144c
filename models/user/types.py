"""Who acts."""

from enum import StrEnum

from pydantic.dataclasses import dataclass

from models.errors import Forbidden


class Role(StrEnum):
    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """An authenticated caller."""

    user_id: str
    role: Role

    @property
    def is_operator(self) -> bool:
        return self.role in {Role.OPERATOR, Role.ADMIN}

    def require_operator(self) -> None:
        """:raises Forbidden: a plain user."""
        if not self.is_operator:
            raise Forbidden("this needs the role operator")
