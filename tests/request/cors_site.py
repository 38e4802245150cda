"""The site behind the table of CORS: one view of every kind, under every policy's prefix."""

from __future__ import annotations

import io
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import (
    FileResponse,
    Http404,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET

# What a view or another middleware might say, each in a case of its own.
OWN_CORS = {
    "access-control-allow-origin": "https://evil.example",
    "Access-Control-Allow-Credentials": "true",
    "ACCESS-CONTROL-ALLOW-METHODS": "PUT",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Expose-Headers": "X-Evil",
    "Access-Control-Max-Age": "1",
    "Access-Control-Allow-Private-Network": "true",
    "Vary": "Cookie",
    "X-Evil": "1",
}


def ok(request):
    response = JsonResponse({"cookie": request.COOKIES.get("who"), "method": request.method})
    response.headers["X-Total"], response.headers["X-Secret"] = "7", "s"
    return response


def sign_in(request):
    response = HttpResponse("signed in")
    response.set_cookie("who", "alice")
    return response


def streamed(request):
    return StreamingHttpResponse(iter([b"one", b"two"]), content_type="text/plain")


def file(request):
    return FileResponse(io.BytesIO(b"content"), filename="a.txt")


def not_modified(request):
    return HttpResponse(status=304)


def no_content(request):
    return HttpResponse(status=204)


def moved(request):
    return HttpResponseRedirect(request.GET.get("to", "/exact/ok"))


def kept(request):
    """Moved, with its method and body."""
    return HttpResponse(status=307, headers={"Location": request.GET["to"]})


def fails(request):
    raise RuntimeError("a text for the log alone")


def forbidden(request):
    raise PermissionDenied


def nowhere(request):
    raise Http404


def says(**headers: str) -> Any:
    def view(request):
        return HttpResponse("said", headers=headers)

    return view


VIEWS = {
    "ok": ok,
    "sign-in": sign_in,
    "streamed": streamed,
    "file": file,
    "not-modified": not_modified,
    "no-content": no_content,
    "moved": moved,
    "kept": kept,
    "fails": fails,
    "forbidden": forbidden,
    "nowhere": nowhere,
    "get-only": require_GET(ok),
    "says-cors": says(**OWN_CORS),
    "varies-by-all": says(Vary="*"),
    "varies-by-origin": says(Vary="Accept, origin"),
}


@csrf_exempt
def dispatch(request, policy, view):
    return VIEWS.get(view, nowhere)(request)


@csrf_exempt
def dispatch_inner(request, policy, view):
    return dispatch(request, policy, view)


urlpatterns = [
    path("health", ok),
    path("<str:policy>/<slug:view>", dispatch),
    path("<str:policy>/inner/<slug:view>", dispatch_inner),
]
