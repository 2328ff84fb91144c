"""Which addresses we may be sent to. A user's URL must not lead us into our own network (SSRF).

Sources: IANA's special-purpose registries, by way of ``ipaddress``; RFC 6052 for NAT64; RFC 1035, 2.3.4 for the
lengths of names.
"""

import ipaddress
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from models.errors import InvalidInput

URL_LENGTH_MOST = 1_000
_NAME_LENGTH_MOST, _LABEL_LENGTH_MOST = 253, 63
_NAT64 = IPv6Network("64:ff9b::/96")
_OURS = ("localhost", "local", "internal", "home.arpa")
"""Ends of names that a private network gives out."""


def is_public(address: str) -> bool:
    """Whether this IP address is one of the internet's at large. One that wraps an IPv4 address is judged by it."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if (wrapped := _wrapped(ip)) is not None:
            return is_public(str(wrapped))
        if ip.sixtofour is not None or ip.teredo is not None or ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def require_url(text: str, *, allow_private: bool) -> str:
    """The URL as it is kept.

    :param allow_private: for development: plain HTTP and any address. What a name resolves to is judged when sending.
    :raises InvalidInput: no HTTPS, or not to a public place.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("it cannot be read") from None
    if len(text) > URL_LENGTH_MOST or not text.isascii() or any(c <= " " or c in '"<>\\^`{|}\x7f' for c in text):
        raise _refused(f"it has at most {URL_LENGTH_MOST} characters, ASCII, none of them blank")
    if parts.scheme not in ({"https", "http"} if allow_private else {"https"}):
        raise _refused("it begins with https://")
    if parts.username is not None or parts.password is not None or parts.fragment or not host or port == 0:
        raise _refused("it names a host, and no user, password or fragment")
    if not _is_name(host):
        raise _refused("a part of its host's name is empty or too long")
    if not allow_private and not _may_be_public(host):
        raise _refused("its host is not on the public internet")
    return text


def _is_name(host: str) -> bool:
    """Whether a resolver can be asked for it. An IPv6 address is none, and is right already."""
    name = host.removesuffix(".")
    lengths = [len(label) for label in name.split(".")]
    return ":" in host or (len(name) <= _NAME_LENGTH_MOST and 1 <= min(lengths) <= max(lengths) <= _LABEL_LENGTH_MOST)


def _may_be_public(host: str) -> bool:
    """Of a name, only what it itself says. Numbers in any spelling are an address (``127.1``, ``0x7f000001``)."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    if ":" in host or last.isdigit() or last.startswith("0x"):
        return is_public(host)
    name = host.rstrip(".").lower()
    return "." in name and not any(name.endswith(f".{ours}") for ours in _OURS)


def _wrapped(ip: IPv6Address) -> IPv4Address | None:
    return IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped


def _refused(why: str) -> InvalidInput:
    return InvalidInput(f"not a URL that we send to: {why}", field="url")
