"""A request that was never sent, made of what a person says about it."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes, urlsplit

from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIRequest
from django.views.decorators.debug import sensitive_variables

from ..conf import Settings
from ..rules import keys
from ..rules.networks import parse_address

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")
# Headers that WSGI keeps under names of their own.
_OWN_NAMES = {"CONTENT_TYPE", "CONTENT_LENGTH"}


class BadDescription(ValueError):
    """What was described is no request; the message says why."""


@sensitive_variables()
def build_request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    address: str = "127.0.0.1",
    host: str = "",
    secure: bool = True,
) -> WSGIRequest:
    """Return the request that a server would hand to Django.

    Args:
        url: a path, or a whole URL that names scheme and host too; a query is dropped.
        host: where ``url`` is a path; empty: the first host of ``ALLOWED_HOSTS``.
        secure: whether a path is requested over https.

    Raises:
        BadDescription: method, URL or address cannot be those of a request.
    """
    if not _TOKEN.match(method):
        raise BadDescription(f"{method!r} is no HTTP method.")
    if address and parse_address(address) is None:
        raise BadDescription(f"{address!r} is no IP address.")
    scheme, host, path = _split(url, "https" if secure else "http", host or default_host())
    environ = {
        "REQUEST_METHOD": method.upper(),
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "443" if scheme == "https" else "80",
        "HTTP_HOST": host,
        "REMOTE_ADDR": address,
        "wsgi.url_scheme": scheme,
        "wsgi.version": (1, 0),
        "wsgi.input": io.BytesIO(),
    }
    for name, value in (headers or {}).items():
        meta = name.upper().replace("-", "_")
        environ[meta if meta in _OWN_NAMES else f"HTTP_{meta}"] = value
    return WSGIRequest(environ)


def _split(url: str, scheme: str, host: str) -> tuple[str, str, str]:
    """Return scheme, host and path; the query chooses nothing, and may hold secrets."""
    if url.startswith("/"):
        return scheme, host, re.split(r"[?#]", url, maxsplit=1)[0]
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BadDescription("Write a path that begins with a slash, or a whole URL.")
    return parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/"


def default_host() -> str:
    """Return a host that this site answers for."""
    named = [host.removeprefix(".") for host in django_settings.ALLOWED_HOSTS if "*" not in host]
    return named[0] if named else "localhost"


@sensitive_variables()
def credential_headers(text: str, settings: Settings) -> dict[str, str]:
    """Return the header that a pasted credential would be sent in.

    A text that names a scheme is a value of Authorization; a text with the shape
    of a key goes into the key header; anything else is taken for a token.
    """
    text = text.strip()
    if re.match(r"(bearer|apikey|api-key|basic) ", text, re.IGNORECASE):
        return {"Authorization": text}
    if keys.has_key_shape(text, settings.key_namespace):
        return {settings.api_key_header: text}
    return {"Authorization": f"Bearer {text}"} if text else {}
