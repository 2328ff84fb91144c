"""The session's parts, for tests that only look at a running one."""

from tests.parts import (  # noqa: F401 fixtures
    evm_node,
    parts_directory,
    postgres_server,
    temporal_server,
)
