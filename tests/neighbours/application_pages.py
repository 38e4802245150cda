"""Pages as projects have them, most made by packages: forms, docs, GraphiQL, event streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import graphene
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from graphene_django.views import GraphQLView
from ninja import NinjaAPI, Schema

ninja = NinjaAPI(urls_namespace="ninja-of-the-tests")


class Order(Schema):
    amount: int


@ninja.post("/orders")
def order(request: HttpRequest, body: Order) -> dict[str, int]:
    return {"amount": body.amount}


class Query(graphene.ObjectType):  # type: ignore[misc]
    hello = graphene.String()

    def resolve_hello(self, info: Any) -> str:
        return "world"


graphql = GraphQLView.as_view(graphiql=True, schema=graphene.Schema(query=Query))


@csrf_exempt
def form(request: HttpRequest) -> HttpResponse:
    """As htmx expects: the form again, with its errors and an error status."""
    error = HttpResponse('<form id="f"><p>Required.</p></form>', status=422)
    error.headers["HX-Retarget"] = "#f"
    return error


def events(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        yield from ("data: 1\n\n", "data: 2\n\n")

    return StreamingHttpResponse(
        lines(), content_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<html><body><p>Hello</p></body></html>")


urlpatterns = [
    path("api/form", form),
    path("api/events", events),
    path("api/page", page),
    path("api/ninja/", ninja.urls),
    path("api/graphql", csrf_exempt(graphql)),
    path("__debug__/", include("debug_toolbar.urls")),
]
