from django.http import HttpResponse
from django.utils.translation import gettext
from rest_framework import serializers, viewsets
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from .models import Task


class TaskSerializer(serializers.ModelSerializer):
    class Meta:
        model = Task
        fields = ["id", "title"]


class Tasks(viewsets.ModelViewSet):
    serializer_class = TaskSerializer

    def get_queryset(self):
        return Task.objects.filter(owner_id=self.request.user.id).order_by("pk")

    def perform_create(self, serializer):
        serializer.save(owner=self.request.user)


class Who(APIView):
    def get(self, request):
        return Response({"email": request.user.email, "type": request.auth["token_type"]})


class Search(APIView):
    permission_classes = [AllowAny]
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "search"

    def get(self, request):
        return Response({"yes": gettext("Yes")})

    def post(self, request):
        return Response({"files": sorted(request.FILES), "data": sorted(request.data)})


def page(request):
    return HttpResponse(f"<h1>{gettext('Yes')}</h1>")
