"""Pages of an admin site that belong to no model: their URL, and their place in the index.

A site has no hook for such pages, short of a class of its own, so the two methods of
the site that lists are made of are wrapped on the instance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path, reverse


def add_page(site: admin.AdminSite, name: str, view: Callable[..., HttpResponse]) -> None:
    """Add the page "apiguard/<name>/" to ``site``, unless ``site`` has it."""
    marker = f"_apiguard_{name}"
    if getattr(site, marker, False):
        return
    stock_urls = site.get_urls

    def get_urls() -> list[URLResolver | URLPattern]:
        guarded = site.admin_view(partial(view, site=site))
        return [path(f"apiguard/{name}/", guarded, name=f"apiguard_{name}"), *stock_urls()]

    setattr(site, marker, True)
    site.get_urls = get_urls  # type: ignore[method-assign]


def list_page(site: admin.AdminSite, name: str, label: Any, may_open: Callable[..., bool]) -> None:
    """List the page ``name`` first among the models of apiguard: in the index and the sidebar.

    Args:
        may_open: whether a request may open the page.
    """
    marker = f"_apiguard_lists_{name}"
    if getattr(site, marker, False):
        return
    stock_list = site.get_app_list

    def get_app_list(request: HttpRequest, app_label: str | None = None) -> list[Any]:
        apps = stock_list(request, app_label)
        for app in apps:
            if app["app_label"] == "apiguard" and may_open(request):
                app["models"] = [entry(), *app["models"]]
        return apps

    def entry() -> dict[str, Any]:
        return {
            "model": None,
            "name": label,
            "object_name": name,
            "perms": {"add": False, "change": False, "delete": False, "view": True},
            "admin_url": reverse(f"admin:apiguard_{name}", current_app=site.name),
            "add_url": None,
            "view_only": True,
        }

    setattr(site, marker, True)
    site.get_app_list = get_app_list  # type: ignore[method-assign]
