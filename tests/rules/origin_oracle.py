"""The grammar of origins once more, as naively as it can be written.

Knows nothing of ``apiguard``: no shared code, no regular expression, no address
library. Character by character, so that it can be read against the standard.
"""

from __future__ import annotations

SCHEMES = {
    "http": "80",
    "https": "443",
    "capacitor": "",
    "ionic": "",
    "tauri": "",
    "chrome-extension": "",
    "moz-extension": "",
}
DIGITS = "0123456789"
HEX = DIGITS + "abcdef"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def is_allowed(patterns: list[str], origin: str) -> bool:
    """Whether one of the patterns permits the origin; patterns that are none permit nothing."""
    wanted = read(origin)
    if "*" in patterns:
        return True
    if wanted is None or wanted[1] or wanted[3] == "*":
        return False
    for pattern in patterns:
        found = read(pattern)
        if found is None:
            continue
        scheme, wildcard, host, port = found
        same_port = port in ("*", wanted[3])
        same_host = wanted[2].endswith("." + host) if wildcard else wanted[2] == host
        if scheme == wanted[0] and same_host and same_port:
            return True
    return False


def read(text: str) -> tuple[str, bool, str, str] | None:
    """Scheme, wildcard, host, port ("" for the default, "*" for all) of a canonical pattern."""
    if len(text) > 512:
        return None
    for scheme, default in SCHEMES.items():
        if text.startswith(scheme + "://"):
            rest = text[len(scheme) + 3 :]
            wildcard = rest.startswith("*.")
            host, port = split(rest[2:] if wildcard else rest)
            if not is_host(host) or (wildcard and is_address(host)):
                return None
            if port is None:
                return scheme, wildcard, host, ""
            if port == "*" or (is_number(port, 65535) and port not in ("0", default)):
                return scheme, wildcard, host, port
    return None


def split(authority: str) -> tuple[str, str | None]:
    """Host and port; a port of ``None`` where there is no colon for one."""
    if authority.startswith("["):
        end = authority.find("]") + 1
        after = authority[end:]
        if end == 0 or (after and after[0] != ":"):
            return "", None
        return authority[:end], after[1:] if after else None
    if authority.count(":") == 1:
        host, port = authority.split(":")
        return host, port
    return authority, None


def is_number(text: str, most: int) -> bool:
    """Decimal, shortest form, at most ``most``."""
    if not text or len(text) > 5 or any(c not in DIGITS for c in text):
        return False
    return str(int(text)) == text and int(text) <= most


def is_address(host: str) -> bool:
    """Whether browsers take the host for an address."""
    last = host.split(".")[-1]
    hexadecimal = last.startswith("0x") and all(c in HEX for c in last[2:])
    return host.startswith("[") or hexadecimal or (last != "" and all(c in DIGITS for c in last))


def is_host(host: str) -> bool:
    """Whether browsers write the host exactly so."""
    if host.startswith("["):
        return is_ipv6(host[1:-1])
    if is_address(host):
        parts = host.split(".")
        return len(parts) == 4 and all(is_number(part, 255) for part in parts)
    return len(host) <= 253 and all(is_label(label) for label in host.split("."))


def is_label(label: str) -> bool:
    """1 to 63 letters, digits and inner hyphens."""
    inner = all(c in LETTERS + DIGITS + "-" for c in label)
    return 0 < len(label) < 64 and inner and label[0] != "-" and label[-1] != "-"


def is_ipv6(text: str) -> bool:
    """Eight groups, the first longest run of two or more zeros (and no other) as "::"."""
    groups = ipv6_groups(text)
    if groups is None:
        return False
    best_at, best = 0, 0
    for at in range(8):
        run = 0
        while at + run < 8 and groups[at + run] == 0:
            run += 1
        if run > best:
            best_at, best = at, run
    written = [f"{group:x}" for group in groups]
    if best < 2:
        return ":".join(written) == text
    return ":".join(written[:best_at]) + "::" + ":".join(written[best_at + best :]) == text


def ipv6_groups(text: str) -> list[int] | None:
    """The eight numbers of an address without a dotted end; ``None`` if it is none."""
    if text.count("::") > 1 or ":::" in text or any(c not in HEX + ":" for c in text):
        return None
    left, double, right = text.partition("::")
    before = left.split(":") if left else []
    after = right.split(":") if right else []
    missing = 8 - len(before) - len(after)
    if (double and missing < 1) or (not double and missing != 0):
        return None
    groups = [*before, *["0"] * missing, *after]
    if any(not 1 <= len(group) <= 4 for group in groups):
        return None
    return [int(group, 16) for group in groups]
