"""``include("apiguard.urls")``: Prometheus metrics at ``metrics``.

The page has no authentication of its own. A route of apiguard with a required scope, or a
rule of the proxy in front, decides who may read it.
"""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from . import conf
from .telemetry.metrics import exposition

app_name = "apiguard"


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics of all processes; 404 unless the setting ``METRICS`` is on."""
    if not conf.current().metrics:
        raise Http404
    body, media_type = exposition(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=media_type)


urlpatterns = [path("metrics", metrics, name="metrics")]
