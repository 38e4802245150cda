"""The ``CORS_*`` settings of django-cors-headers -> rows.

What is missing is made and what is there is left as it is, so that it can be
run again.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Final, TypeVar

from django.db import transaction

from ..errors import PolicyError
from ..models import AllowedOrigin, CorsPolicy, PolicyModel, Route
from ..models.state import write_alias
from ..rules.paths import normalise_prefix
from .corsheaders_settings import Reading

R = TypeVar("R", bound=PolicyModel)

SIGNALS: Final = "corsheaders.signals"
POLICY: Final = "corsheaders"
NOTE: Final = "Imported from CORS_* settings."


def write(
    reading: Reading, name: str = POLICY, prefix: str | None = None, *, dry_run: bool = False
) -> list[str]:
    """Make the rows that are missing, in one transaction; what differs is a notice.

    Args:
        name: of the CORS policy.
        prefix: path prefix of the route that is to use the policy; a route that
            is made only observes, and leaves it to the project who may call.
        dry_run: make nothing after all.

    Returns:
        One line per row that was made or changed.

    Raises:
        PathError: no request can have this prefix.
        ValidationError: a row of somebody else stands in the way.
    """
    using = write_alias()
    made: list[str] = []
    prefix = None if prefix is None else normalise_prefix(prefix)
    with transaction.atomic(using=using):
        policy = CorsPolicy.objects.using(using).filter(name=name).first()
        if policy is None:
            policy = _saved(CorsPolicy(name=name, **reading.policy), made)
        else:
            reading.notices += _differences(policy, reading)
        known = set(policy.origins.using(using).values_list("pattern", flat=True))
        for pattern in reading.origins:
            if pattern not in known:
                _saved(AllowedOrigin(policy=policy, pattern=pattern, note=NOTE), made)
        if prefix is not None:
            _attach(policy, prefix, reading, made)
        transaction.set_rollback(dry_run, using=using)
    return made


def refuse_receivers(reading: Reading) -> None:
    """Add a refusal if the project decides by code: a receiver of ``check_request_enabled``.

    It permits requests and paths that no setting names. Call it when the apps are
    ready, for then receivers are connected.
    """
    if find_spec("corsheaders") is None:
        return
    signal = import_module(SIGNALS).check_request_enabled
    if signal.has_listeners():
        reason = "A receiver of this signal permits requests by code; rows cannot say that."
        hint = "List what it permits as origins, and choose the policy on the routes it is for."
        error = PolicyError("receiver", SIGNALS, reason, hint, field="check_request_enabled")
        reading.refused.append(error)


def _saved(row: R, made: list[str]) -> R:
    row.full_clean()
    row.save(using=write_alias())
    made.append(f"{row._meta.verbose_name} {str(row)!r}")
    return row


def _differences(policy: CorsPolicy, reading: Reading) -> Iterable[PolicyError]:
    for field_name, value in reading.policy.items():
        stored = getattr(policy, field_name)
        if stored != value:
            reason = f"The policy {policy.name!r} is there already and says {stored!r}."
            yield PolicyError("differs", value, reason, "It stays as it is.", field=field_name)


def _attach(policy: CorsPolicy, prefix: str, reading: Reading, made: list[str]) -> None:
    route = Route.objects.using(write_alias()).filter(path_prefix=prefix).first()
    if route is None:
        new = Route(
            name=prefix,
            path_prefix=prefix,
            mode=Route.Mode.OBSERVE,
            access=Route.Access.APPLICATION,
            cors_policy=policy,
        )
        _saved(new, made)
    elif route.cors_policy_id is None:
        route.cors_policy = policy
        _saved(route, made)
    elif route.cors_policy_id != policy.pk:
        reason = f"The route {route.name!r} has another CORS policy."
        hint = "Choose one of them in the admin."
        reading.refused.append(PolicyError("other_policy", prefix, reason, hint, field="route"))
