from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.throttling import SimpleRateThrottle

from .models import Device


class DeviceAuthentication(BaseAuthentication):
    def authenticate(self, request):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        device = Device.objects.select_related("user").filter(token=token).first()
        if device is None:
            raise exceptions.AuthenticationFailed("unknown device")
        return device.user, device

    def authenticate_header(self, request):
        return 'Device realm="own"'


class FivePerMinute(SimpleRateThrottle):
    scope = "five"
    THROTTLE_RATES = {"five": "5/min"}

    def get_cache_key(self, request, view):
        return f"five-{request.user.pk}" if request.user.is_authenticated else None
