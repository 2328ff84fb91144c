"""The small world of the books, for activities that write into it."""

from tests.models.conftest import database, engine, parts_directory, postgres_server, template, world

__all__ = ["database", "engine", "parts_directory", "postgres_server", "template", "world"]
