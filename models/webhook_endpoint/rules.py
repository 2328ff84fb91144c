"""Which addresses we may be sent to. A user's URL must not lead us into our own network (SSRF).

Sources: IANA's special-purpose registries, by way of ``ipaddress``; RFC 6052, RFC 3056 and RFC 4380 for the IPv6
addresses that hold an IPv4 one.
"""

import ipaddress
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from models.errors import InvalidInput

URL_LENGTH_MOST = 1_000
_NAT64 = IPv6Network("64:ff9b::/96")
_OURS = ("localhost", "local", "internal", "home.arpa")


def is_public(address: str) -> bool:
    """Whether this IP address is one of the internet's at large. An address that holds another is judged by both."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return ip.version == 6 and _mapped(ip) is not None and is_public(str(_mapped(ip)))
    return not isinstance(ip, IPv6Address) or all(is_public(str(inner)) for inner in _inside(ip))


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
    if not allow_private and not _may_be_public(host):
        raise _refused("its host is not on the public internet")
    return text


def _may_be_public(host: str) -> bool:
    """Of a name, only what it itself says. Numbers in any spelling are an address (``127.1``, ``0x7f000001``)."""
    if ":" in host or host.replace(".", "").isdigit() or host.rpartition(".")[2].startswith("0x"):
        return is_public(host)
    last = host.rstrip(".").lower()
    return "." in last and not any(last == name or last.endswith(f".{name}") for name in _OURS)


def _mapped(ip: IPv4Address | IPv6Address) -> IPv4Address | None:
    return ip.ipv4_mapped if isinstance(ip, IPv6Address) else None


def _inside(ip: IPv6Address) -> list[IPv4Address]:
    found = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in _NAT64:
        found.append(IPv4Address(int(ip) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]


def _refused(why: str) -> InvalidInput:
    return InvalidInput(f"not a URL that we send to: {why}", field="url")
