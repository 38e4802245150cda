"""``SIMPLE_JWT`` of djangorestframework-simplejwt -> one issuer.

The package goes on signing in people and making tokens; apiguard accepts its access tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.contrib.auth import get_user_model
from django.db import transaction
from django.views.decorators.debug import sensitive_variables
from jwt.algorithms import get_default_algorithms

from .. import conf
from ..errors import PolicyError
from ..models import JwtIssuer, Tier
from ..models.state import write_alias

PACKAGE = "rest_framework_simplejwt"
NOTE = "Imported from SIMPLE_JWT."


@dataclass(slots=True)
class Reading:
    """What the settings come to.

    Attributes:
        fields: of the issuer.
        changes: lines for the settings without which no token is accepted.
        notices: what will be different.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def read(name: str) -> Reading:
    """Read the package's settings.

    Args:
        name: of the issuer, and of the secret in ``JWT_SECRETS``.

    Raises:
        PolicyError: the package is not installed.
    """
    if find_spec(PACKAGE) is None:
        raise PolicyError(
            "not_installed",
            PACKAGE,
            "djangorestframework-simplejwt is not installed here.",
            "Run this where it is; it reads the package's settings.",
        )
    given: Any = import_module(f"{PACKAGE}.settings").api_settings
    reading = Reading()
    reading.fields |= {
        "name": name,
        "issuer": given.ISSUER or name,
        "audiences": _audiences(given.AUDIENCE),
        "algorithms": [given.ALGORITHM],
        "leeway": _seconds(given.LEEWAY),
        "required_claims": {given.TOKEN_TYPE_CLAIM: "access"} if given.TOKEN_TYPE_CLAIM else {},
        **_key_source(given, name, reading),
    }
    _check_names(given, name, reading)
    _check_subject(given, reading)
    return reading


def write(reading: Reading, tier: Tier | None = None, *, dry_run: bool = False) -> list[str]:
    """Make the issuer if there is none of its name; return one line per row that was made.

    Raises:
        ValidationError: the issuer would not be valid.
    """
    using = write_alias()
    with transaction.atomic(using=using):
        if JwtIssuer.objects.using(using).filter(name=reading.fields["name"]).exists():
            return []
        row = JwtIssuer(**reading.fields, tier=tier)
        row.full_clean()
        row.save(using=using)
        if dry_run:
            transaction.set_rollback(True, using=using)
    counted = "its subjects are not limited" if tier is None else f"counted in tier {tier.slug!r}"
    return [f"issuer {row.name!r} ({row.issuer}); {counted}"]


def _audiences(given: Any) -> list[str]:
    if not given:
        return ["api"]
    return [given] if isinstance(given, str) else list(given)


def _seconds(leeway: Any) -> int:
    return int(leeway.total_seconds() if isinstance(leeway, timedelta) else leeway or 0)


@sensitive_variables()
def _key_source(given: Any, name: str, reading: Reading) -> dict[str, Any]:
    if given.JWK_URL:
        return {"jwks_url": given.JWK_URL}
    if not given.ALGORITHM.startswith("HS"):
        return {"jwks": _public_keys(given.VERIFYING_KEY, given.ALGORITHM)}
    signing = given.SIGNING_KEY
    signing = signing.encode() if isinstance(signing, str) else signing
    if signing not in conf.current().jwt_secrets.get(name, ()):
        reading.changes.append(
            f'APIGUARD["JWT_SECRETS"] = {{"{name}": SIMPLE_JWT["SIGNING_KEY"]}}'
            "  # SECRET_KEY, where SIMPLE_JWT has none; then give it one of its own"
        )
    return {"secret_name": name}


def _public_keys(pem: Any, algorithm: str) -> Mapping[str, Any] | None:
    try:
        key = load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
        jwk = get_default_algorithms()[algorithm].to_jwk(key, as_dict=True)
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        return None  # Validation of the row names what is missing.
    return {"keys": [{**jwk, "use": "sig", "alg": algorithm}]}


def _check_names(given: Any, name: str, reading: Reading) -> None:
    missing = [
        (key, value)
        for key, value, is_set in (
            ("ISSUER", name, given.ISSUER),
            ("AUDIENCE", "api", given.AUDIENCE),
        )
        if not is_set
    ]
    reading.changes += [f'SIMPLE_JWT["{key}"] = "{value}"' for key, value in missing]
    if missing:
        keys = " and ".join(key for key, _ in missing)
        reading.notices.append(
            f"Once {keys} is set, simplejwt itself refuses the tokens that it made before, refresh "
            "tokens included: people sign in once more."
        )


def _check_subject(given: Any, reading: Reading) -> None:
    is_subject, user_field = given.USER_ID_CLAIM == "sub", given.USER_ID_FIELD
    if not is_subject:
        reading.changes.append('SIMPLE_JWT["USER_ID_CLAIM"] = "sub"')
    column = get_user_model()._meta.get_field(user_field)
    if column.get_internal_type() in ("CharField", "EmailField", "TextField", "UUIDField"):
        reading.fields["user_field"] = user_field
        return
    username = get_user_model().USERNAME_FIELD
    reading.fields["user_field"] = username
    reading.changes.append(
        f'SIMPLE_JWT["USER_ID_FIELD"] = "{username}"'
        "  # a subject is a text (RFC 7519); simplejwt writes a number as a number"
    )
