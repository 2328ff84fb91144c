"""Who acts."""

from enum import StrEnum

from pydantic.dataclasses import dataclass

from models.errors import Forbidden


class Role(StrEnum):
    """``ARBITER`` rules on disputes between users, ``ARBITER_READ`` only reads them. An operator does neither; an
    admin may do what any other may.
    """

    USER = "user"
    OPERATOR = "operator"
    ARBITER = "arbiter"
    ARBITER_READ = "arbiter_read"
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

    @property
    def is_arbiter(self) -> bool:
        return self.role in {Role.ARBITER, Role.ADMIN}

    @property
    def reads_disputes(self) -> bool:
        return self.is_arbiter or self.role is Role.ARBITER_READ

    def require_arbiter(self) -> None:
        """:raises Forbidden: anybody else, operators too."""
        if not self.is_arbiter:
            raise Forbidden("this needs the role arbiter")

    def require_dispute_reader(self) -> None:
        """:raises Forbidden: neither an arbiter nor one who reads what arbiters read."""
        if not self.reads_disputes:
            raise Forbidden("this needs the role arbiter or arbiter_read")
