from django.contrib import messages
from django.http import StreamingHttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_cookie
from rest_framework import generics, serializers
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView

from .models import Document


class DocumentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Document
        fields = ["id", "title"]


class Documents(generics.ListCreateAPIView):
    permission_classes = [IsAuthenticated]
    serializer_class = DocumentSerializer

    def get_queryset(self):
        return Document.objects.filter(owner=self.request.user).order_by("pk")

    def perform_create(self, serializer):
        file = self.request.FILES.get("file")
        serializer.save(owner=self.request.user, body=file.read() if file else b"")


class Me(APIView):
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response({"id": request.user.id, "name": request.user.get_username()})


class TwoPerMinute(AnonRateThrottle):
    rate = "2/min"


class Contact(APIView):
    permission_classes = [AllowAny]
    throttle_classes = [TwoPerMinute]

    def post(self, request):
        return Response({"received": request.data}, status=202)


@method_decorator(cache_page(60), "dispatch")
@method_decorator(vary_on_cookie, "dispatch")
class Dashboard(APIView):
    calls = 0

    def get(self, request):
        type(self).calls += 1
        return Response({"calls": self.calls})


def stream(request):
    rows = (f"{number}\n".encode() for number in range(3))
    return StreamingHttpResponse(rows, content_type="text/csv")


async def slow(request):
    user = await request.auser()
    return redirect("/api/me/") if user.is_authenticated else redirect("/accounts/login/")


def message(request):
    messages.success(request, "saved")
    return redirect("/accounts/login/")
