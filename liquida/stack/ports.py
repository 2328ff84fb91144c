"""Ports of this machine: whether one is free, and if not, who has it and which setting moves us away."""

import socket

import psutil

from models.errors import StackUnavailable

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def require_free(port: int, *, part: str, setting: str) -> None:
    """Refuse to start ``part`` on a taken port.

    :param setting: the environment variable that chooses the port, such as ``LIQUIDA_EVM_PORT``.
    :raises StackUnavailable: the port is taken.
    """
    if is_free(port):
        return
    holder = user_of(port) or "another program"
    raise StackUnavailable(
        f"{part} needs port {port}, but {holder} is listening there: stop that, or set {setting} to a free port"
    )


def user_of(port: int) -> str | None:
    """The program that listens on ``port`` as ``name (pid 123)``; None where the system does not tell."""
    try:
        listening = [c for c in psutil.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN]
        pid = next((c.pid for c in listening if c.laddr and c.laddr.port == port and c.pid), None)
        return None if pid is None else f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return None


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
