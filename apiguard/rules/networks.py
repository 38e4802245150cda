"""Networks, and whose address a request is counted by.

Only the peer's address is known for certain. A forwarding header is believed
from the right, as far as trusted proxies wrote it, and not one value further.
IPv4-mapped IPv6 addresses are IPv4 (RFC 4291 section 2.5.5.2). What a request
brought never raises, and a bounded part of it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, TypeAlias

from ..errors import NetworkError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
ForwardedHeader: TypeAlias = Literal["X-Forwarded-For", "Forwarded"]

MAX_FORWARDED_LENGTH: Final = 4096
"""Characters at the end of a forwarding header that are looked at."""

MAX_FORWARDED_HOPS: Final = 32
"""Elements at the end of a forwarding header that are looked at."""

UNKNOWN: Final = "unknown"
"""RFC 7239 section 6.2; stands for every element that names no node."""

_MAX_ADDRESS_LENGTH = 64
_NODE = re.compile(
    r"(?:\[(?=[0-9A-Fa-f]*:)(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<v4>[0-9.]{7,15})(?=:))"
    r"(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]{1,64}))?"
)
# RFC 7239 section 4: a value is a token or a quoted string; IPv6 and ports need the quotes.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_PAIR = re.compile(rf"[ \t]*(?:({_TOKEN}+)=(?:\"((?:[^\"\\]|\\.)*)\"|({_TOKEN}*)))?[ \t]*")
_MAPPED_NETWORK = IPv6Network("::ffff:0:0/96")


def parse_network(text: str) -> Network:
    """Read a network or a single address, as staff typed it.

    Raises:
        NetworkError: ``empty``, ``white_space``, ``zone``, ``bad_network``,
            ``mask``, ``host_bits`` or ``mapped``.
    """
    if not text:
        raise NetworkError("empty", text, "The network is empty.", "Write one like 192.0.2.0/24.")
    if text != text.strip():
        reason = "The network has white space at its ends."
        raise _mistake("white_space", text, reason, "Remove it.", text.strip())
    if "%" in text:
        reason = "Zones mean something on one machine only."
        raise _mistake("zone", text, reason, "Leave out % and what follows.")
    address, slash, prefix = text.partition("/")
    try:
        if len(text) > _MAX_ADDRESS_LENGTH:
            raise ValueError
        given, network = ip_address(address), ip_network(text, strict=False)
    except ValueError:
        hint = "Write one like 192.0.2.0/24 or 2001:db8::/32."
        raise _mistake("bad_network", text, "This is not a network.", hint) from None
    if slash and not prefix.isdigit():
        reason = "Masks read two ways."
        raise _mistake("mask", text, reason, "Write the length of the prefix.", str(network))
    if given != network.network_address:
        reason = "The address has bits set beyond the prefix."
        raise _mistake("host_bits", text, reason, "Write the network's address.", str(network))
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED_NETWORK):
        reason = "IPv4-mapped addresses are treated as IPv4."
        raise _mistake("mapped", text, reason, "Write the IPv4 network.", str(_unmapped(network)))
    return network


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return every one of ``texts``; raises :class:`NetworkError` for the first bad one."""
    return tuple(parse_network(text) for text in texts)


def parse_address(text: str) -> Address | None:
    """Return a request's address, or None: no zones, ports, blanks or leading zeros."""
    return None if len(text) > _MAX_ADDRESS_LENGTH else _parsed_address(text)


# The same few proxies and busy callers come again and again.
@lru_cache(maxsize=1024)
def _parsed_address(text: str) -> Address | None:
    if "%" in text:
        return None
    try:
        return unmapped_address(ip_address(text))
    except ValueError:
        return None


def contains(networks: Sequence[Network], address: Address | None) -> bool:
    """Whether one of ``networks`` holds ``address``."""
    return address is not None and any(address in network for network in networks)


def is_within(network: Network, networks: Iterable[Network]) -> bool:
    """Whether one of ``networks`` holds every address of ``network``."""
    return any(
        network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]
        for other in networks
    )


def is_trusted(remote_addr: str, trusted: Sequence[Network], trust_unix: bool) -> bool:
    """Whether forwarding headers of the peer ``remote_addr`` are believed.

    A peer on a unix socket has no address: servers say nothing or the path.
    """
    if _is_unix(remote_addr):
        return trust_unix
    return contains(trusted, parse_address(remote_addr))


def client_address(
    remote_addr: str,
    forwarded: str,
    *,
    header: ForwardedHeader,
    trusted: Sequence[Network],
    trust_unix: bool,
) -> Address | None:
    """Return the address that a request is counted by.

    Args:
        remote_addr: the peer's address; empty or a path for unix sockets.
        forwarded: the value of ``header``, lines joined by commas.
        trusted: networks of the proxies whose word counts.
        trust_unix: peers on unix sockets are such proxies.

    Returns:
        The first address from the right that is not a trusted proxy's; the
        last trusted one where the list ends or stops being addresses; None
        where nothing is known.
    """
    hop = parse_address(remote_addr)
    if not is_trusted(remote_addr, trusted, trust_unix):
        return hop
    parse = parse_forwarded if header == "Forwarded" else parse_forwarded_for
    for value in reversed(parse(forwarded)):
        address = parse_address(value)
        if address is None:
            return hop
        hop = address
        if not contains(trusted, address):
            return hop
    return hop


def counted_as(address: Address | None) -> str:
    """``ip:`` and the address, IPv6 by /64 (what one subscriber holds), or ``unknown``."""
    if address is None:
        return f"ip:{UNKNOWN}"
    address = unmapped_address(address)
    if isinstance(address, IPv4Address):
        return f"ip:{address}"
    return f"ip:{IPv6Network((address, 64), strict=False)}"


def network_of(address: Address) -> str:
    """Return the network that an address is in: IPv4 by /24, IPv6 by /48."""
    address = unmapped_address(address)
    length = 24 if isinstance(address, IPv4Address) else 48
    return str(ip_network((address, length), strict=False))


def parse_forwarded_for(value: str) -> list[str]:
    """Return the elements of X-Forwarded-For, left to right, ports and brackets removed.

    Only the end is read: 32 elements of the last 4,096 characters. What is not
    an address stays, so that it ends a walk.
    """
    elements = _tail(value).rsplit(",", MAX_FORWARDED_HOPS)[-MAX_FORWARDED_HOPS:]
    return [_node(text) for element in elements if (text := element.strip(" \t"))]


def parse_forwarded(value: str) -> list[str]:
    """Return the ``for`` values of Forwarded (RFC 7239), left to right, ports removed.

    Read from the right within the same bounds, so that a quote which a client
    left open cannot swallow what proxies appended. An element that is malformed
    or names no node is ``unknown``.
    """
    nodes: list[str] = []
    for element in _elements_from_right(_tail(value)):
        if len(nodes) == MAX_FORWARDED_HOPS:
            break
        nodes.append(_for_value(element))
    return nodes[::-1]


def _mistake(
    code: str, text: str, reason: str, hint: str, candidate: str | None = None
) -> NetworkError:
    suggestion = None
    if candidate is not None and candidate != text:
        try:
            suggestion = str(parse_network(candidate))
        except NetworkError as error:
            suggestion = error.suggestion
    return NetworkError(code, text, reason, hint, suggestion=suggestion)


def _unmapped(network: IPv6Network) -> IPv4Network:
    low = int(network.network_address) & 0xFFFFFFFF
    return IPv4Network((low, network.prefixlen - 96))


def unmapped_address(address: Address) -> Address:
    """Return the IPv4 address that an IPv4-mapped one stands for; others as they are."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_unix(remote_addr: str) -> bool:
    return not remote_addr or remote_addr.startswith(("unix:", "/"))


def _tail(value: str) -> str:
    """Return the end of a long list, without the element that the cut went through."""
    if len(value) <= MAX_FORWARDED_LENGTH:
        return value
    return value[-MAX_FORWARDED_LENGTH:].partition(",")[2]


def _node(text: str) -> str:
    """Return a node without its port (RFC 7239 section 6); other text as it is."""
    found = _NODE.fullmatch(text)
    return (found["v6"] or found["v4"] or text) if found else text


def _elements_from_right(value: str) -> Iterator[str]:
    end = len(value)
    quoted = False
    for mark in reversed(list(re.finditer(r'[",]', value))):
        at = mark.start()
        if mark[0] == '"':
            # Inside, going left, an escaped quote is content; outside, it is malformed anyway.
            quoted = not (quoted and not _is_escaped(value, at))
        elif not quoted:
            if value[at + 1 : end].strip(" \t"):
                yield value[at + 1 : end]
            end = at
    if value[:end].strip(" \t"):
        yield value[:end]


def _is_escaped(value: str, at: int) -> bool:
    start = at
    while start and value[start - 1] == "\\":
        start -= 1
    return (at - start) % 2 == 1


def _for_value(element: str) -> str:
    found: list[str] = []
    at = 0
    while at <= len(element):
        pair = _PAIR.match(element, at)
        if pair is None or element[pair.end() : pair.end() + 1] not in ("", ";"):
            return UNKNOWN
        if pair[1] and pair[1].lower() == "for":
            found.append(pair[3] if pair[2] is None else re.sub(r"\\(.)", r"\1", pair[2]))
        at = pair.end() + 1
    return _node(found[0]) or UNKNOWN if len(found) == 1 else UNKNOWN
