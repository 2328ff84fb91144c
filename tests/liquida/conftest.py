"""The session's directory for parts."""

from tests.parts import parts_directory  # noqa: F401 a fixture
