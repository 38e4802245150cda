"""Which credential a request brings, if any of it is ours to judge.

On ``credentials`` routes every Bearer, ApiKey and key-header value is. On
other routes only what is certainly ours is: a value of our key's shape, a token
whose ``iss`` is an enabled issuer. All else belongs to the project: its own
keys and tokens, its refresh endpoint, its webhooks.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Literal

from django.views.decorators.debug import sensitive_variables

from ..conf import Settings
from ..rules import keys
from ..rules.jwt import issuer_of
from .challenge import Scheme
from .facts import Facts

_SCHEMES: dict[str, Scheme] = {"bearer": "Bearer", "apikey": "ApiKey", "api-key": "ApiKey"}
# RFC 6750 section 2.1 and RFC 9110 section 11.2 know neither inside a token.
_MALFORMED = re.compile(r"[\s,]")


@dataclass(frozen=True, slots=True)
class PresentedCredential:
    """A credential as it was sent."""

    kind: Literal["key", "token"]
    scheme: Scheme
    value: str = field(repr=False)

    @property
    def malformed(self) -> bool:
        """Empty, or with white space or a comma inside (two headers of one name)."""
        return not self.value or _MALFORMED.search(self.value) is not None


@sensitive_variables()
def extract(
    facts: Facts, settings: Settings, issuers: Container[str], *, judge_all: bool
) -> list[PresentedCredential]:
    """Return the credentials of ours in a request; more than one is one too many."""
    found = []
    if facts.authorization is not None:
        presented = _of_authorization(facts.authorization, settings.key_namespace)
        if presented and (judge_all or _is_ours(presented, settings.key_namespace, issuers)):
            found.append(presented)
    if facts.api_key is not None:
        presented = PresentedCredential("key", "ApiKey", facts.api_key.strip(" \t"))
        if judge_all or _is_ours(presented, settings.key_namespace, issuers):
            found.append(presented)
    return found


def _of_authorization(value: str, namespace: str) -> PresentedCredential | None:
    name, _, rest = value.strip(" \t").partition(" ")
    scheme = _SCHEMES.get(name.lower())
    if scheme is None:
        return None
    credential = rest.strip(" \t")
    is_key = scheme == "ApiKey" or keys.has_key_shape(credential, namespace)
    return PresentedCredential("key" if is_key else "token", scheme, credential)


def _is_ours(presented: PresentedCredential, namespace: str, issuers: Container[str]) -> bool:
    if presented.kind == "key":
        return keys.has_key_shape(presented.value, namespace)
    return issuer_of(presented.value) in issuers
