"""The views of the small guarded site: plain, asynchronous, failing, streaming, DRF."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import FileResponse, Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import engines
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from rest_framework import exceptions, parsers, permissions, renderers, serializers, throttling
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.response import Response
from rest_framework.views import APIView

from apiguard.rest_framework.authentication import ApiKeyAuthentication, JWTAuthentication
from apiguard.rest_framework.exceptions import exception_handler
from apiguard.rest_framework.permissions import HasScope
from apiguard.rest_framework.throttling import TierThrottle


def _seen(request: Any) -> dict[str, Any]:
    guard = getattr(request, "apiguard", None)
    return {
        "user": str(request.user),
        "type": type(getattr(request.user, "_wrapped", request.user)).__name__,
        "principal": getattr(guard, "principal", None),
        "scopes": sorted(getattr(guard, "scopes", ())),
    }


@csrf_exempt
def plain(request):
    return JsonResponse({**_seen(request), "length": len(request.body)})


async def asynchronous(request):
    user = await request.auser()
    return JsonResponse({**_seen(request), "auser": str(user), "length": len(request.body)})


@csrf_exempt
def echo(request):
    """The body as it arrived."""
    return HttpResponse(request.body, content_type="application/octet-stream")


@csrf_exempt
def form(request):
    files = {name: len(upload.read()) for name, upload in request.FILES.items()}
    return JsonResponse({"post": dict(request.POST.items()), "files": files})


@csrf_exempt
def refused_form(request):
    """Reads a form, and dislikes it."""
    return HttpResponse(f"<p>{len(request.FILES)}</p>", status=400)


def protected(request):
    """Behind Django's CSRF check."""
    return JsonResponse(_seen(request))


def fails(request):
    raise RuntimeError("a text for the log alone")


def suspicious(request):
    raise SuspiciousOperation("a text for the log alone")


def forbidden(request):
    raise PermissionDenied("a text for the log alone")


def missing(request):
    raise Http404("a text for the log alone")


def html_error(request):
    return HttpResponse("<h1>teapot</h1>", status=418)


def json_error(request):
    return JsonResponse({"own": True}, status=422)


@csrf_exempt
@require_http_methods(["GET", "HEAD"])
def get_only(request):
    return HttpResponse("got")


def answers(request, status):
    return JsonResponse({"error": "of the view"}, status=status)


def streaming(request):
    return StreamingHttpResponse(iter([b"one", b"two"]), content_type="text/plain")


def streaming_html_error(request):
    return StreamingHttpResponse(iter([b"<p>", b"</p>"]), status=500, content_type="text/html")


def a_file(request):
    return FileResponse(BytesIO(b"a,b"), filename="orders.csv", as_attachment=True)


def not_modified(request):
    return HttpResponse(status=304)


def decorated(request):
    """Sets whatever the query says as response headers; ``status`` is the status."""
    status = int(request.GET.get("status", 200))
    response = HttpResponse(
        "x" * 500, status=status, content_type=request.GET.get("type", "text/plain")
    )
    for name, value in request.GET.items():
        if name not in ("status", "type"):
            response.headers[name] = value
    return response


def templated(request):
    source = "{{ user }}|{{ user.is_authenticated }}|{{ perms.auth.add_user }}|{{ perms.auth }}"
    template = engines["django"].from_string(source)
    return HttpResponse(template.render({}, request), content_type="text/plain")


class Seen(APIView):
    """Our classes and the project's session, throttled by tier."""

    authentication_classes = [ApiKeyAuthentication, JWTAuthentication, SessionAuthentication]
    permission_classes = [permissions.IsAuthenticated]
    throttle_classes = [TierThrottle]
    renderer_classes = [renderers.JSONRenderer, renderers.BrowsableAPIRenderer]
    parser_classes = [parsers.JSONParser, parsers.FormParser, parsers.MultiPartParser]

    def get_exception_handler(self):
        return exception_handler

    def get(self, request):
        return Response({**_seen(request), "auth": type(request.auth).__name__})

    def post(self, request):
        data = request.data
        return Response(
            {**_seen(request), "data": {k: v for k, v in data.items() if isinstance(v, str)}}
        )


class Open(Seen):
    permission_classes = [permissions.AllowAny]


class Chosen(Open):
    """Its throttles are chosen when it runs, as per action."""

    ran = 0

    def get_throttles(self):
        return []

    def post(self, request):
        type(self).ran += 1
        return Response(status=201)


class OnlyKeys(Open):
    authentication_classes = [ApiKeyAuthentication]


class OnlyTokens(Open):
    authentication_classes = [JWTAuthentication]


class Unthrottled(Open):
    throttle_classes = []


class Throttled(Open):
    throttle_classes = [throttling.AnonRateThrottle]

    def get_throttles(self):
        class OnePerHour(throttling.AnonRateThrottle):
            rate = "1/hour"
            cache_format = "apiguard-tests-%(scope)s-%(ident)s"

        return [OnePerHour()]


class Scoped(Seen):
    permission_classes = [HasScope("orders:write", "orders:read")]


class OnlySession(Open):
    authentication_classes = [SessionAuthentication]


class ProjectsOwn(BaseAuthentication):
    """Bearer tokens of the project, which are nobody else's business."""

    def authenticate(self, request):
        value = request.META.get("HTTP_AUTHORIZATION", "")
        if value == "Bearer projects-own":
            return type("Own", (), {"is_authenticated": True, "pk": 77})(), "own"
        if value.startswith("Bearer"):
            raise exceptions.AuthenticationFailed("Not one of mine")
        return None

    def authenticate_header(self, request):
        return "Bearer"


class Own(Open):
    authentication_classes = [ApiKeyAuthentication, JWTAuthentication, ProjectsOwn]

    def get(self, request):
        return Response({"auth": str(request.auth)})


class Item(serializers.Serializer):
    name = serializers.CharField()
    amount = serializers.IntegerField(min_value=1)


class Raises(APIView):
    """Raises what its ``what`` says."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = []
    renderer_classes = [renderers.JSONRenderer, renderers.BrowsableAPIRenderer]
    what: Any = None

    def get_exception_handler(self):
        return exception_handler

    def get(self, request):
        raise self.what

    def post(self, request):
        Item(data=request.data).is_valid(raise_exception=True)
        return Response({})


class Conflict(exceptions.APIException):
    status_code = 409
    default_detail = "It is there already."
    default_code = "already_there"


class ByAdmin(Raises):
    renderer_classes = [renderers.JSONRenderer, renderers.AdminRenderer]

    def get(self, request):
        return Response([])


class Away(exceptions.APIException):
    status_code = 503
    default_detail = "Closed on Sundays."


RAISED = {
    "server-error": exceptions.APIException("a text for the log alone"),
    "unavailable": Away(),
    "conflict": Conflict(),
    "throttled": exceptions.Throttled(wait=2.2),
    "denied": exceptions.PermissionDenied(),
    "not-found": exceptions.NotFound(),
    "http404": Http404(),
    "django-denied": PermissionDenied(),
    "parse": exceptions.ParseError(),
    "authentication": exceptions.AuthenticationFailed(),
    "unhandled": RuntimeError("a text for the log alone"),
}

urlpatterns = [
    path("open/plain", plain),
    path("api/plain", plain),
    path("api/export", plain),
    path("api/async", csrf_exempt(asynchronous)),
    path("api/echo", echo),
    path("api/form", form),
    path("api/refused-form", refused_form),
    path("api/protected", protected),
    path("api/fails", fails),
    path("api/suspicious", suspicious),
    path("api/forbidden", forbidden),
    path("api/missing", missing),
    path("api/html-error", html_error),
    path("api/json-error", json_error),
    path("api/get-only", get_only),
    path("api/answers/<int:status>", answers),
    path("api/streaming", streaming),
    path("api/streaming-error", streaming_html_error),
    path("api/file", a_file),
    path("api/not-modified", not_modified),
    path("api/decorated", decorated),
    path("api/templated", templated),
    path("api/drf/chosen", Chosen.as_view()),
    path("api/drf", Seen.as_view()),
    path("api/drf/open", Open.as_view()),
    path("api/drf/keys", OnlyKeys.as_view()),
    path("api/drf/tokens", OnlyTokens.as_view()),
    path("api/drf/unthrottled", Unthrottled.as_view()),
    path("api/drf/throttled", Throttled.as_view()),
    path("api/drf/scoped", Scoped.as_view()),
    path("api/drf/session", OnlySession.as_view()),
    path("api/drf/own", Own.as_view()),
    path("api/drf/raises", Raises.as_view()),
    path("api/drf/admin", ByAdmin.as_view()),
    *(path(f"api/drf/raises/{name}", Raises.as_view(what=what)) for name, what in RAISED.items()),
]
