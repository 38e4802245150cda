"""Read what an identity provider publishes about itself: the fetcher of keys, the same bounds."""

from __future__ import annotations

from dataclasses import dataclass

from .. import conf
from ..rules.key_set import KeySet
from ..rules.openid import choose_algorithms, configuration_url, read_configuration
from .jwks_fetch import fetch


@dataclass(frozen=True, slots=True)
class Provider:
    """Values for an issuer's row, and the keys that the provider has now."""

    issuer: str
    jwks_url: str
    algorithms: tuple[str, ...]
    keys: KeySet


def discover(url: str) -> Provider:
    """Read the document of the issuer at ``url``, and its keys: two requests, for people.

    Raises:
        IssuerError: one of them cannot be fetched or used; the message has the reason.
    """
    settings = conf.current()
    networks, ca_file = settings.jwks_allowed_networks, settings.jwks_ca_file
    configuration = read_configuration(fetch(configuration_url(url), networks, ca_file))
    raw = fetch(configuration.jwks_url, networks, ca_file)
    algorithms, keys = choose_algorithms(configuration.algorithms, raw)
    return Provider(configuration.issuer, configuration.jwks_url, algorithms, keys)
