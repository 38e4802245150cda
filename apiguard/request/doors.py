"""What one door needs to know of the other, and of the project's own views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def counts_itself(view: Callable[..., Any]) -> bool:
    """Whether this is a DRF view with a throttle that counts in tiers.

    DRF authenticates inside the view, so only there it is known who calls.
    """
    cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
    chooses = getattr(cls, "get_throttles", None)
    if getattr(chooses, "__module__", "") != "rest_framework.views":
        return False  # Which throttles it will choose, nobody can tell beforehand.
    given = getattr(view, "initkwargs", {}).get("throttle_classes")
    throttles = given if given is not None else getattr(cls, "throttle_classes", ())
    return any(getattr(throttle, "counts_tiers", False) for throttle in throttles or ())


def signed_in_user(request: Any) -> Any:
    """Primary key of the user whom the project or DRF has authenticated, or ``None``."""
    user = getattr(request, "user", None)
    return getattr(user, "pk", None) if getattr(user, "is_authenticated", False) else None
