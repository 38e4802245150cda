"""Hosts as browsers write them, in URLs and in ``Origin``.

A host is canonical if a browser would serialise it unchanged (WHATWG URL
section 3.5): lower-case LDH labels (RFC 1123 section 2.1), dotted-decimal IPv4,
or the shortest IPv6 in brackets. Nothing here raises, and the cost is bounded by
the length of the host.
"""

from __future__ import annotations

import functools
import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from publicsuffixlist import PublicSuffixList

MAX_HOST_LENGTH: Final = 253
"""Characters, RFC 1035 section 2.3.4."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_IPV6_HOST = re.compile(r"\[[0-9a-f:.]+\]")


def is_canonical_host(host: str) -> bool:
    """Whether a browser writes this host exactly so."""
    if len(host) > MAX_HOST_LENGTH:
        return False
    try:
        if _IPV6_HOST.fullmatch(host):
            return bracketed(IPv6Address(host[1:-1])) == host
        if ends_in_number(host):
            return str(IPv4Address(host)) == host
    except ValueError:
        return False
    return all(map(_LABEL.fullmatch, host.split(".")))


def ends_in_number(host: str) -> bool:
    """Whether browsers read the host as IPv4 (WHATWG URL "ends in a number")."""
    return _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None


def bracketed(address: IPv6Address) -> str:
    """Return an IPv6 host as browsers write it."""
    # WHATWG URL writes IPv4-mapped addresses in hexadecimal; Python 3.13 does not.
    if address.ipv4_mapped is not None:
        low = int(address.ipv4_mapped)
        return f"[::ffff:{low >> 16:x}:{low & 0xFFFF:x}]"
    return f"[{address.compressed}]"


def is_loopback(host: str) -> bool:
    """Whether a canonical host never leaves the machine (RFC 6761 section 6.3)."""
    if host in ("[::1]", "localhost") or host.endswith(".localhost"):
        return True
    return is_canonical_host(host) and ends_in_number(host) and IPv4Address(host).is_loopback


def is_public_suffix(host: str) -> bool:
    """Whether strangers can get names directly under ``host``.

    The public suffix list with its private section; a name of one label that
    the list does not know counts as a public suffix, except ``localhost``.
    """
    return host != "localhost" and bool(_public_suffixes().is_public(host))


@functools.cache
def _public_suffixes() -> PublicSuffixList:
    # Parsing the list takes some 50 ms: not at import, and once.
    return PublicSuffixList()
