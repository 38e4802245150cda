"""What a request says of itself, taken once and frozen.

Values are as they arrived, unjudged; ``None`` means that the header is absent.
``host`` alone was judged, by Django: ``None`` if ``ALLOWED_HOSTS`` has no such
name, empty where it was not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..conf import Settings
from ..rules.networks import Address, client_address, is_trusted, parse_address

# How long a body without Content-Length is: there is none; the server ends it
# for us; nobody can tell where it ends.
UnknownLength = Literal["", "delimited", "endless"]


@dataclass(frozen=True, slots=True)
class Facts:
    """One request, as far as policy is concerned."""

    method: str
    path: str
    secure: bool = False
    host: str | None = ""
    remote_addr: str = ""
    forwarded: str = ""
    origin: str | None = None
    requested_method: str | None = None
    requested_headers: str | None = None
    fetch_site: str | None = None
    content_length: str | None = None
    unknown_length: UnknownLength = ""
    content_type: str = ""
    accept: str | None = None
    # Secrets: out of tracebacks and of what error trackers make of them.
    authorization: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)

    def address(self, settings: Settings) -> Address | None:
        """Where the request comes from, believing only trusted proxies."""
        return client_address(
            self.remote_addr,
            self.forwarded,
            header=settings.forwarded_header,
            trusted=settings.trusted_proxies,
            trust_unix=settings.trust_unix,
        )

    def came_through_a_stranger(self, settings: Settings) -> bool:
        """Whether a private address that is no trusted proxy forwarded the request."""
        if not self.forwarded or is_trusted(
            self.remote_addr, settings.trusted_proxies, settings.trust_unix
        ):
            return False
        address = parse_address(self.remote_addr)
        return address is not None and address.is_private


def facts_of(
    meta: Mapping[str, Any],
    method: str,
    path: str,
    settings: Settings,
    *,
    secure: bool,
    host: str | None = "",
    unannounced: bool = False,
) -> Facts:
    """Facts from a WSGI-like environ (``request.META``).

    Args:
        secure: whether it arrived over https.
        host: as Django judged it; see the module.
        unannounced: whether there is a body that no header speaks of.
    """
    get = meta.get
    remote_addr = get("REMOTE_ADDR") or ""
    return Facts(
        method=method,
        path=path,
        secure=secure or _proxy_says_https(meta, remote_addr, settings),
        host=host,
        remote_addr=remote_addr,
        forwarded=get(settings.forwarded_meta) or "",
        origin=get("HTTP_ORIGIN"),
        requested_method=get("HTTP_ACCESS_CONTROL_REQUEST_METHOD"),
        requested_headers=get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS"),
        fetch_site=get("HTTP_SEC_FETCH_SITE"),
        content_length=get("CONTENT_LENGTH") or None,
        unknown_length=_unknown_length(meta, unannounced=unannounced),
        content_type=get("CONTENT_TYPE") or "",
        accept=get("HTTP_ACCEPT"),
        authorization=get("HTTP_AUTHORIZATION"),
        api_key=get(settings.api_key_meta),
    )


def _proxy_says_https(meta: Mapping[str, Any], remote_addr: str, settings: Settings) -> bool:
    said = meta.get("HTTP_X_FORWARDED_PROTO")
    if said is None or not (settings.trusted_proxies or settings.trust_unix):
        return False
    # The rightmost value is the one that the nearest proxy wrote.
    if str(said).rsplit(",", 1)[-1].strip().lower() != "https":
        return False
    return is_trusted(remote_addr, settings.trusted_proxies, settings.trust_unix)


def _unknown_length(meta: Mapping[str, Any], *, unannounced: bool) -> UnknownLength:
    if "HTTP_TRANSFER_ENCODING" not in meta:
        return "delimited" if unannounced and not meta.get("CONTENT_LENGTH") else ""
    # ASGI servers always end the body; of WSGI servers, those that say so.
    ends = "wsgi.version" not in meta or meta.get("wsgi.input_terminated")
    return "delimited" if ends else "endless"
