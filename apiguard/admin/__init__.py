"""The admin pages: one screen per kind of row, and an overview.

Screens are stock ``ModelAdmin``s on ``django.contrib.admin.site`` unless the
setting ``ADMIN`` is false; ``register(site)`` puts them on a site of your own,
before its URLs are included. Importing this package never fails, also where
the Django admin is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps

from .. import conf

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

__all__ = ["register"]


def register(site: AdminSite) -> None:
    """Register all screens of apiguard on ``site``, except models registered there already."""
    from . import (
        blocks,
        clients,
        cors,
        coverage,
        explain,
        headers,
        history,
        issuers,
        routes,
        tiers,
        usage,
    )
    from .keys import list as keys
    from .overview import page as overview
    from .refusals import find
    from .refusals import list as refusals

    for screens in (
        routes,
        cors,
        headers,
        tiers,
        clients,
        keys,
        issuers,
        blocks,
        history,
        refusals,
    ):
        for model, screen in screens.SCREENS.items():
            if not site.is_registered(model):
                site.register(model, screen)
    # The last one is listed first.
    find.add_to(site)
    overview.add_to(site)
    explain.add_to(site)
    coverage.add_to(site)
    usage.add_to(site)


def _register_on_the_default_site() -> None:
    if apps.is_installed("django.contrib.admin") and conf.current().admin:
        from django.contrib.admin import site

        register(site)


_register_on_the_default_site()
