from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.parsers import FileUploadParser, JSONParser, MultiPartParser
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from .models import Item


class ItemSerializer(serializers.ModelSerializer):
    class Meta:
        model = Item
        fields = ["id", "name"]


class Items(viewsets.ModelViewSet):
    serializer_class = ItemSerializer
    queryset = Item.objects.order_by("pk")

    def get_queryset(self):
        return super().get_queryset().filter(owner=self.request.user)

    def perform_create(self, serializer):
        serializer.save(owner=self.request.user)

    @action(detail=False)
    def city(self, request):
        return Response({"city": request.user.profile.city, "device": request.auth.token})


class Upload(APIView):
    parser_classes = [MultiPartParser, FileUploadParser, JSONParser]

    def post(self, request, name="x"):
        return Response({"size": request.data["file"].size})

    put = post


class Open(APIView):
    permission_classes = [AllowAny]
    throttle_classes = []

    def get(self, request):
        return Response({"user": str(request.user)}, headers={"Cache-Control": "max-age=60"})
