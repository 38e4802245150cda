import json
from functools import wraps

from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt

from .models import Note, PartnerKey

PER_MINUTE = 3


def partners_only(view):
    @csrf_exempt
    @wraps(view)
    def wrapped(request, *args):
        key = PartnerKey.objects.filter(text=request.headers.get("X-API-Key", "")).first()
        if key is None:
            return JsonResponse({"error": "unknown partner"}, status=401)
        request.partner = key.partner
        return view(request, *args)

    return wrapped


@partners_only
def notes(request):
    if request.method == "POST":
        note = Note.objects.create(partner=request.partner, text=json.loads(request.body)["text"])
        return JsonResponse({"id": note.pk}, status=201)
    found = Note.objects.filter(partner=request.partner)
    return JsonResponse({"notes": [note.text for note in found]})


@partners_only
def upload(request):
    return JsonResponse({name: len(file.read()) for name, file in request.FILES.items()})


@partners_only
def throttled(request):
    count = cache.get_or_set("throttle", 0) + 1
    cache.set("throttle", count, 60)
    if count > PER_MINUTE:
        return HttpResponse("slow down", status=429, headers={"Retry-After": "60"})
    return JsonResponse({"count": count})


@csrf_exempt
def hook(request):
    if request.headers.get("Authorization") != "Bearer hook-secret":
        return HttpResponse("no", status=403)
    return HttpResponse(status=204)


@csrf_exempt
def legacy(request):
    """Keys of an old client come as ``Authorization: Api-Key …``."""
    return JsonResponse({"authorization": request.headers.get("Authorization", "")})


def status(request):
    return JsonResponse({"ok": True})


@cache_page(60)
def report(request):
    cache.set("reports", cache.get("reports", 0) + 1)
    return JsonResponse({"report": cache.get("reports")})


def events(request):
    return StreamingHttpResponse(iter([b"data: 1\n\n"]), content_type="text/event-stream")


def fragment(request):
    return HttpResponse("<p class=error>Too short</p>", status=422)


def open_to_all(request):
    return JsonResponse({"ok": True}, headers={"Access-Control-Allow-Origin": "*"})


@login_required
def mine(request):
    return JsonResponse({"user": request.user.username})


def form(request):
    return HttpResponse(f"hello {request.POST.get('name', '')}")


def raises(request):
    raise ZeroDivisionError
