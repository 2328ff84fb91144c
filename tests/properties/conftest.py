"""The database of ``tests/models``, for machines that make their own copies of it."""

from tests.models.conftest import parts_directory, postgres_server, template

__all__ = ["parts_directory", "postgres_server", "template"]
