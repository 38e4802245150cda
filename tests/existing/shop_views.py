"""Views with sessions, CSRF, DRF and a token scheme of the project's own."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView


def comment(request):
    return HttpResponse(f"thank you, {request.POST.get('name', 'stranger')}")


@login_required
def mine(request):
    return JsonResponse({"username": request.user.get_username()})


@csrf_exempt
def webhook(request):
    if request.headers.get("Authorization") != "Bearer the-shop's-own":
        return JsonResponse({"error": "go away"}, status=401)
    return JsonResponse({"ok": True})


class Items(APIView):
    permission_classes = [AllowAny]

    def get(self, request):
        return Response({"items": [], "caller": str(request.user)})

    def post(self, request):
        return Response({"made": request.data}, status=201)
