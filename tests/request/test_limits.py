"""The middleware leaves counting to DRF views whose throttle counts in tiers."""

from __future__ import annotations

import pytest
from rest_framework.decorators import api_view, throttle_classes
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from apiguard.request.limits import counts_itself
from apiguard.rest_framework.throttling import TierThrottle
from tests.request import views


class Set(ViewSet):
    throttle_classes = [TierThrottle]

    def list(self, request):
        return Response([])


class Chooses(ViewSet):
    throttle_classes = [TierThrottle]

    def get_throttles(self):
        return []


class Begins(ViewSet):
    throttle_classes = [TierThrottle]

    def initial(self, request, *args, **kwargs):
        pass


class Checks(ViewSet):
    throttle_classes = [TierThrottle]

    def check_throttles(self, request):
        pass


@api_view(["GET"])
@throttle_classes([TierThrottle])
def function(request):
    return Response()


@api_view(["GET"])
@throttle_classes([])
def unthrottled(request):
    return Response()


class Own(TierThrottle):
    pass


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        pytest.param(views.Open.as_view(), True, id="class"),
        pytest.param(views.Unthrottled.as_view(), False, id="no throttle"),
        pytest.param(views.Throttled.as_view(), False, id="another throttle"),
        pytest.param(views.Unthrottled.as_view(throttle_classes=[Own]), True, id="a subclass"),
        pytest.param(views.Open.as_view(throttle_classes=[]), False, id="taken away"),
        pytest.param(Set.as_view({"get": "list"}), True, id="view set"),
        pytest.param(Set.as_view({"get": "list"}, throttle_classes=()), False, id="an action"),
        pytest.param(Chooses.as_view({"get": "list"}), False, id="throttles of its own choice"),
        pytest.param(Begins.as_view({"get": "list"}), False, id="a beginning of its own"),
        pytest.param(Checks.as_view({"get": "list"}), False, id="a check of its own"),
        pytest.param(function, True, id="function"),
        pytest.param(unthrottled, False, id="function without"),
        pytest.param(views.plain, False, id="Django view"),
        pytest.param(lambda request: None, False, id="lambda"),
    ],
)
def test_whether_a_view_counts_in_tiers_itself(view, expected):
    assert counts_itself(view) == expected
