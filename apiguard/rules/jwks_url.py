"""Where an issuer's keys may be fetched from: https, and no address of our own network.

A URL that staff typed makes this server send a request, so it must not be a
way to reach what only this server can reach (OWASP: SSRF). The name is
resolved once, by others; here it is judged what it resolved to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

from ..errors import IssuerError
from .hosts import is_canonical_host
from .networks import Address, Network, contains

MAX_URL_LENGTH: Final = 1024

_URL = re.compile(
    r"https://(?P<host>\[[^\]/?#@]*\]|[^\[\]/?#@:]*)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:[/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)"
)
# IPv6 that is routed (RFC 4291 section 2.4), without the transitional ranges
# that carry an IPv4 address of anybody's choice (RFC 4380, RFC 3056).
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_CARRIERS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))


@dataclass(frozen=True, slots=True)
class KeysUrl:
    """An https URL taken apart; ``host`` without brackets, ``target`` as it is requested."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of the Host header (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"


def parse_keys_url(url: str) -> KeysUrl:
    """Return the parts of a URL that keys may be fetched from.

    Raises:
        IssuerError: it is not https, has a user, a fragment or another
            character that does not belong there, or no host that can be named.
    """
    found = _URL.fullmatch(url) if len(url) <= MAX_URL_LENGTH else None
    host = found["host"].lower() if found else ""
    port = int(found["port"] or 443) if found else 0
    if found is None or not is_canonical_host(host) or not 1 <= port <= 65535:
        raise IssuerError(
            "bad_keys_url",
            url[:MAX_URL_LENGTH],
            "Keys cannot be fetched from this URL.",
            "Write https://host/path: no user, no fragment, the host in ASCII.",
            field="jwks_url",
        )
    target = found["target"]
    return KeysUrl(host.strip("[]"), port, target if target.startswith("/") else f"/{target}")


def may_be_fetched_from(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether a request may go to ``address``: it is global, or an exception was made."""
    return is_global(address) or contains(allowed, _unmapped(address))


def is_global(address: Address) -> bool:
    """Whether this is an address on the public internet, and of one machine there."""
    address = _unmapped(address)
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    if isinstance(address, IPv4Address):
        return True
    return address in _GLOBAL_UNICAST and not contains(_CARRIERS, address)


def _unmapped(address: Address) -> Address:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
