"""Response headers that stop a browser from showing or sending the admin's forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from django.utils.translation import gettext as _


def find_barriers(headers: Mapping[str, str], secure: bool, host: str) -> Iterator[str]:
    """Yield what the headers of an HTML page prevent, in words.

    Args:
        secure: whether the page came over https.
        host: host and port of the page.
    """
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in ("text/html", "application/xhtml+xml"):
        yield _("Content-Type %s shows no form") % kind
    if headers.get("Content-Disposition", "").lower().startswith("attachment"):
        yield _("Content-Disposition downloads the page instead of showing it")
    for name in ("Refresh", "Location"):
        if name in headers:
            yield _("%s sends everybody to another page") % name
    cleared = headers.get("Clear-Site-Data", "")
    if '"cookies"' in cleared or '"*"' in cleared:
        yield _("Clear-Site-Data signs everybody out")
    policies = [text.strip().lower() for text in headers.get("Referrer-Policy", "").split(",")]
    if policies[-1] == "no-referrer":
        # Browsers then send "Origin: null" with a form, which Django's CSRF check refuses.
        yield _("Referrer-Policy no-referrer makes Django refuse every form (CSRF)")
    for policy in headers.get("Content-Security-Policy", "").split(","):
        yield from _barriers_of_csp(_directives(policy), secure, host.lower())


def _directives(policy: str) -> dict[str, list[str]]:
    """Return the directives of one CSP; of several with one name the first counts."""
    found: dict[str, list[str]] = {}
    for text in policy.split(";"):
        name, *values = text.split() or [""]
        found.setdefault(name.lower(), [value.lower() for value in values])
    return found


def _barriers_of_csp(csp: Mapping[str, Sequence[str]], secure: bool, host: str) -> Iterator[str]:
    sources = csp.get("form-action")
    if sources is not None and not any(_permits(source, secure, host) for source in sources):
        yield _("the form-action of Content-Security-Policy blocks every form")
    sandbox = csp.get("sandbox")
    if sandbox is not None and not {"allow-forms", "allow-same-origin"} <= set(sandbox):
        yield _("the sandbox of Content-Security-Policy blocks forms or cookies")


def _permits(source: str, secure: bool, host: str) -> bool:
    """Return whether a source expression (CSP Level 3, section 2.3.1) matches the page itself."""
    if source in ("'self'", "*"):
        return True
    scheme = "https" if secure else "http"
    if source.endswith(":") and "/" not in source:
        return source[:-1] == scheme or (source == "http:" and secure)
    parts = urlsplit(source if "://" in source else f"{scheme}://{source}")
    if parts.scheme != scheme and not (parts.scheme == "http" and secure):
        return False
    named, own = parts.netloc.removesuffix(":*"), host
    if parts.netloc.endswith(":*") or ":" not in named:
        own = host.partition(":")[0] if parts.netloc.endswith(":*") else _without_default_port(host)
    return own.endswith(named[1:]) if named.startswith("*.") else own == named


def _without_default_port(host: str) -> str:
    return host.removesuffix(":443").removesuffix(":80")
