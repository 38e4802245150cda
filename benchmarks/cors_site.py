"""A site that does nothing but CORS, with apiguard's middleware or django-cors-headers'.

``configure`` once per process. As ``benchmarks.cors_site:application`` it is
served; ``BENCH_CORS`` then says which middleware, ``BENCH_ORIGINS`` how many
origins, ``BENCH_KIND`` of which kind.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

MIDDLEWARE = {
    "apiguard": "apiguard.middleware.ApiGuardMiddleware",
    "corsheaders": "corsheaders.middleware.CorsMiddleware",
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
HEADERS = ["Authorization", "Content-Type", "X-API-Key", "X-Request-ID", "X-API-Version"]
EXPOSED = ["X-Request-ID", "Retry-After"]


def view(request: HttpRequest) -> HttpResponse:
    """As little as a view can do."""
    return HttpResponse("ok")


urlpatterns = [path("health", view), path("api/plain", view)]


def origins(number: int, kind: str = "exact") -> list[str]:
    """So many origins; of kind ``family``, all their subdomains."""
    star = "*." if kind == "family" else ""
    return [f"https://{star}shop-{index}.example.com" for index in range(number)]


def asked(number: int, kind: str = "exact") -> str:
    """An origin that the last of so many permits."""
    below = "a.b." if kind == "family" else ""
    return f"https://{below}shop-{number - 1}.example.com"


def configure(*peers: str, number: int = 1) -> None:
    """Settings with both middlewares' values; ``peers`` are installed."""
    settings.configure(
        SECRET_KEY="benchmark",  # noqa: S106 - signs nothing
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "apiguard"],
        MIDDLEWARE=[MIDDLEWARE[peer] for peer in peers],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        APIGUARD={"POLICY_MAX_AGE": None, "ADMIN": False},
        CORS_ALLOWED_ORIGINS=origins(number),
        CORS_ALLOW_CREDENTIALS=True,
        CORS_ALLOW_METHODS=METHODS,
        CORS_ALLOW_HEADERS=[name.lower() for name in HEADERS],
        CORS_EXPOSE_HEADERS=EXPOSED,
        LOGGING_CONFIG=None,
    )
    django.setup()


def policy(number: int, kind: str = "exact") -> Any:
    """The same as rows, compiled."""
    from apiguard.models import AllowedOrigin, CorsPolicy, Route
    from apiguard.testing import snapshot_of

    row = CorsPolicy(
        name="browsers",
        allowed_methods=METHODS,
        allowed_headers=HEADERS,
        exposed_headers=EXPOSED,
        allow_credentials=True,
    )
    route = Route(name="api", path_prefix="/api/", access="public", cors_policy=row)
    allowed = [AllowedOrigin(policy=row, pattern=text) for text in origins(number, kind)]
    snapshot = snapshot_of(route, row, *allowed)
    if snapshot.problems:
        raise ValueError(str(snapshot.problems[0]))
    return snapshot


# Held for as long as the process lives.
_policy = ExitStack()


def serve() -> Any:
    """The application that a server runs."""
    peer, number = os.environ["BENCH_CORS"], int(os.environ.get("BENCH_ORIGINS", "1"))
    configure(peer, number=number)
    if peer == "apiguard":
        from apiguard.policy.holder import holder

        _policy.enter_context(holder.override(policy(number)))
    return get_wsgi_application()


if "BENCH_CORS" in os.environ:
    application = serve()
