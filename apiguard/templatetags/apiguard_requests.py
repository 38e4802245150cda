"""``{% find_request_box %}``: the one box that finds a refused request, wherever it is wanted."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import RequestContext

register = template.Library()


@register.inclusion_tag("admin/apiguard/refusal/find_box.html", takes_context=True)
def find_request_box(context: RequestContext, looked_for: str = "") -> dict[str, Any]:
    """Show the box to users who may view refused requests.

    Args:
        looked_for: the id that was sent, where the page answers it.
    """
    request = context["request"]
    return {
        "request": request,
        "may_find": request.user.has_perm("apiguard.view_refusal"),
        "looked_for": looked_for,
    }
