"""Where events are posted to, and the secret that signs them: the setting ``WEBHOOKS``."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ..errors import SettingError

MAX_URL_LENGTH: Final = 2_048
MAX_WEBHOOKS: Final = 20
SECRET_PREFIX: Final = "whsec_"
# Standard Webhooks: a secret has between 192 and 512 bits.
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64
# Printable ASCII: http.client refuses anything else in a request line.
_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HINT = 'Write {"name": {"url": "https://…", "secret": "whsec_…"}}.'


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """One receiver. Neither URL nor secret stands in its repr: both may authorise somebody."""

    url: str = field(repr=False)
    secret: str = field(repr=False)

    @property
    def host(self) -> str:
        """The host of the URL, for people."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_protected(self) -> bool:
        """Whether nobody on the way can read it: https, or this machine itself."""
        return self.url.lower().startswith("https:") or _is_loopback(self.host)


def parse_webhooks(value: object) -> dict[str, WebhookTarget]:
    """Return the receivers by name.

    Raises:
        SettingError: one of them has no usable URL or secret. No secret is repeated.
    """
    if not isinstance(value, Mapping) or len(value) > MAX_WEBHOOKS:
        raise _wrong("…", f"This is not a dict of at most {MAX_WEBHOOKS} webhooks.")
    return {_name(name): _target(str(name), given) for name, given in value.items()}


def _name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _wrong("…", "This is not a name for a webhook.", "Use [A-Za-z0-9._-]{1,64}.")
    return name


def _target(name: str, given: object) -> WebhookTarget:
    if not isinstance(given, Mapping) or set(given) != {"url", "secret"}:
        raise _wrong(name, "A webhook has the members url and secret, and no other.")
    return WebhookTarget(_url(name, given["url"]), _secret(name, given["secret"]))


def _url(name: str, url: object) -> str:
    is_text = isinstance(url, str) and len(url) <= MAX_URL_LENGTH and _URL.fullmatch(url)
    parts = _split(str(url)) if is_text else None
    if parts is None or not parts.hostname or "@" in parts.netloc or parts.fragment:
        hint = "Write https://host/path: ASCII, no user, no fragment."
        raise _wrong(name, "Events cannot be posted to the URL of this webhook.", hint)
    return str(url)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port > 0 else None
    except ValueError:  # A port out of range, or brackets that hold no address.
        return None


def _secret(name: str, secret: object) -> str:
    text = secret if isinstance(secret, str) else ""
    prefix, _, encoded = text.partition(SECRET_PREFIX)
    try:
        length = 0 if prefix else len(base64.b64decode(_padded(encoded), validate=True))
    except (binascii.Error, ValueError):
        length = 0
    if not MIN_SECRET_BYTES <= length <= MAX_SECRET_BYTES:
        sizes = f"{MIN_SECRET_BYTES} to {MAX_SECRET_BYTES}"
        hint = f'Write "{SECRET_PREFIX}" and {sizes} random bytes in base64.'
        raise _wrong(name, "The secret of this webhook is not one of Standard Webhooks.", hint)
    return text


def _padded(encoded: str) -> str:
    return encoded + "=" * (-len(encoded) % 4)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _wrong(value: object, reason: str, hint: str = _HINT) -> SettingError:
    return SettingError("wrong_value", value, reason, hint)
