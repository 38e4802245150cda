"""The rows that staff edit: fields, constraints, and what is wrong with a row.

Every policy row inherits ``PolicyModel``; every write publishes a new
revision in the same transaction. Nothing here serves a request: ``policy/``
reads these rows, compiles them, and requests are judged by the result.
"""

from .audit import PolicyChange, acting
from .base import CompiledModel, PolicyManager, PolicyModel, PolicyQuerySet
from .blocks import BlockedNetwork
from .clients import Client, LimitOverride
from .cors import AllowedOrigin, CorsPolicy
from .headers import HeaderPolicy, ResponseHeader
from .hourly_counts import HourlyCount, ShadowCount
from .incidents import CounterFault, CounterOutage, UntrustedProxy
from .issuers import JwtIssuer
from .key_identification import Identified, identify
from .keys import ApiKey
from .observed_headers import ObservedHeader
from .periodic_tasks import PeriodicTask
from .refusals import Refusal
from .routes import Route
from .state import Change, PolicyState, everything
from .tiers import Limit, Tier
from .usage import Usage
from .webhooks import WebhookStatus

__all__ = [
    "AllowedOrigin",
    "ApiKey",
    "BlockedNetwork",
    "Change",
    "Client",
    "CompiledModel",
    "CorsPolicy",
    "CounterFault",
    "CounterOutage",
    "HeaderPolicy",
    "HourlyCount",
    "Identified",
    "JwtIssuer",
    "Limit",
    "LimitOverride",
    "ObservedHeader",
    "PeriodicTask",
    "PolicyChange",
    "PolicyManager",
    "PolicyModel",
    "PolicyQuerySet",
    "PolicyState",
    "Refusal",
    "ResponseHeader",
    "Route",
    "ShadowCount",
    "Tier",
    "UntrustedProxy",
    "Usage",
    "WebhookStatus",
    "acting",
    "everything",
    "identify",
]
