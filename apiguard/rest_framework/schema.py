"""The credentials as security schemes of OpenAPI, for drf-spectacular.

Imported when the apps are ready, if drf-spectacular is installed: its
extensions register themselves.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from .. import conf

PACKAGE = "apiguard.rest_framework.authentication"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The key header."""

    target_class = f"{PACKAGE}.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return an OpenAPI security scheme object."""
        return {"type": "apiKey", "in": "header", "name": conf.current().api_key_header}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """A Bearer token (RFC 6750)."""

    target_class = f"{PACKAGE}.JWTAuthentication"
    name = "bearerToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return an OpenAPI security scheme object."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
