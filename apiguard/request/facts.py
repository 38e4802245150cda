"""The parts of a request that policy is about, read once and frozen.

Values are as they arrived, unjudged; ``None`` means that the header is absent.
``host`` alone was judged, by Django: ``None`` if ``ALLOWED_HOSTS`` has no such
name, empty where it was not looked at. The path is not among them: it chooses
the route and says nothing else, so that no stage can judge by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from ..conf import Settings
from ..rules.networks import Address, client_address, is_trusted, parse_address
from .django_private import body_stream

# How long a body without Content-Length is: there is none; the server ends it
# for us; nobody can tell where it ends.
UnknownLength = Literal["", "delimited", "endless"]


# No address, no network and no unix socket: nothing trusts it.
UNKNOWN_PEER = "unknown"


# Facts that may hold a credential; no representation shows them.
_SECRET = frozenset({"authorization", "api_key"})


class Facts(NamedTuple):
    """One request, as far as policy is concerned."""

    method: str
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
    authorization: str | None = None
    api_key: str | None = None

    def __repr__(self) -> str:
        # No secrets: tracebacks show it, and error trackers keep what they show.
        shown = [
            f"{name}={value!r}"
            for name, value in zip(self._fields, self, strict=True)
            if name not in _SECRET
        ]
        return f"Facts({', '.join(shown)})"

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


# An environ holds credentials in plain text, and error reports show local variables.
@sensitive_variables()
def facts_of(
    meta: Mapping[str, Any],
    method: str,
    settings: Settings,
    *,
    secure: bool,
    host: str | None = "",
    unannounced: bool = False,
) -> Facts:
    """Return facts from a WSGI-like environ (``request.META``).

    Args:
        secure: whether it arrived over https.
        host: as Django judged it; see the module.
        unannounced: whether there is a body that no header speaks of.
    """
    get = meta.get
    unknown_length: UnknownLength = ""
    if unannounced or "HTTP_TRANSFER_ENCODING" in meta:
        unknown_length = _unknown_length(meta)
    return Facts(
        method=method,
        secure=secure or ("HTTP_X_FORWARDED_PROTO" in meta and _is_forwarded_https(meta, settings)),
        host=host,
        remote_addr=remote_addr_of(meta),
        forwarded=get(settings.forwarded_meta) or "",
        origin=get("HTTP_ORIGIN"),
        requested_method=get("HTTP_ACCESS_CONTROL_REQUEST_METHOD"),
        requested_headers=get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS"),
        fetch_site=get("HTTP_SEC_FETCH_SITE"),
        content_length=_content_length(meta),
        unknown_length=unknown_length,
        content_type=get("CONTENT_TYPE") or "",
        accept=get("HTTP_ACCEPT"),
        authorization=get("HTTP_AUTHORIZATION"),
        api_key=get(settings.api_key_meta),
    )


def remote_addr_of(meta: Mapping[str, Any]) -> str:
    """Return the peer's address; empty on a unix socket, ``UNKNOWN_PEER`` where nobody knows.

    WSGI servers name a peer on a unix socket as empty or by a path. ASGI servers leave
    the peer out, there and after a connection was reset; on a unix socket they
    name no port of their own either.
    """
    remote_addr = meta.get("REMOTE_ADDR")
    if remote_addr is not None:
        return str(remote_addr)
    is_unix = "wsgi.version" not in meta and meta.get("SERVER_PORT") in ("0", "None")
    return "" if is_unix else UNKNOWN_PEER


def _content_length(meta: Mapping[str, Any]) -> str | None:
    length = meta.get("CONTENT_LENGTH")
    # Django's own tests and some middleware set an int.
    return str(length) if length or length == 0 else None


def host_of(request: HttpRequest) -> str | None:
    """Return ``request.get_host()``; ``None`` for a name that ``ALLOWED_HOSTS`` lacks."""
    try:
        return request.get_host()
    except DisallowedHost:
        return None


def is_unannounced(request: HttpRequest) -> bool:
    """Whether there is a body that no header speaks of, as HTTP/2 allows.

    Only under ASGI, where Django has spooled the body already.
    """
    if not isinstance(request, ASGIRequest):
        return False
    stream: Any = body_stream(request)
    return bool(stream.seekable() and spooled_length(stream))


def spooled_length(stream: Any) -> int:
    """Return how many bytes a spooled body has; the stream then stands at its beginning."""
    length: int = stream.seek(0, 2)
    stream.seek(0)
    return length


def _is_forwarded_https(meta: Mapping[str, Any], settings: Settings) -> bool:
    if not (settings.trusted_proxies or settings.trust_unix):
        return False
    # The rightmost value is the one that the nearest proxy wrote.
    if str(meta["HTTP_X_FORWARDED_PROTO"]).rsplit(",", 1)[-1].strip().lower() != "https":
        return False
    return is_trusted(remote_addr_of(meta), settings.trusted_proxies, settings.trust_unix)


def _unknown_length(meta: Mapping[str, Any]) -> UnknownLength:
    if "HTTP_TRANSFER_ENCODING" not in meta:
        return "" if meta.get("CONTENT_LENGTH") else "delimited"
    # ASGI servers always end the body; of WSGI servers, those that set a flag.
    ends = "wsgi.version" not in meta or meta.get("wsgi.input_terminated")
    return "delimited" if ends else "endless"
