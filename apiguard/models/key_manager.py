"""``ApiKey.objects``: where the text of a key comes from, once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .. import conf
from ..rules import keys as key_rules
from ..rules.scopes import parse_scopes
from .base import PolicyManager, PolicyModel
from .key_queryset import ApiKeyQuerySet

if TYPE_CHECKING:
    from .clients import Client


# The model itself stands to the right of its manager.
Key = TypeVar("Key", bound=PolicyModel)


class ApiKeyManager(PolicyManager.from_queryset(ApiKeyQuerySet), Generic[Key]):  # type: ignore[misc]
    """``ApiKey.objects``."""

    def build(
        self,
        client: Client,
        name: str,
        scopes: Iterable[str] = (),
        environment: str = "live",
        expires_at: datetime | None = None,
        **fields: Any,
    ) -> tuple[Key, str]:
        """Return an unsaved key and its text.

        Raises:
            ScopeError: a scope is not an RFC 6749 scope token.
        """
        settings_ = conf.current()
        parts = key_rules.generate(settings_.key_namespace, environment)
        pepper_id, pepper = next(iter(settings_.key_peppers.items()), ("", None))
        key = self.model(
            client=client,
            name=name,
            environment=environment,
            key_id=parts.key_id,
            digest=key_rules.digest(parts.text, pepper),
            pepper_id=pepper_id,
            scopes=list(parse_scopes(scopes)),
            expires_at=expires_at,
            **fields,
        )
        return key, parts.text

    def issue(
        self,
        client: Client,
        name: str,
        scopes: Iterable[str] = (),
        environment: str = "live",
        expires_at: datetime | None = None,
        **fields: Any,
    ) -> tuple[Key, str]:
        """Make a key for ``client``.

        Returns:
            The saved row, and the key's text, which nothing can show again.

        Raises:
            ScopeError: a scope is not an RFC 6749 scope token.
            ValidationError: a field is wrong, such as an unregistered scope.
        """
        key, text = self.build(client, name, scopes, environment, expires_at, **fields)
        # The database checks references and the unique id by itself: no query for them here.
        key.full_clean(exclude=["client", "replaces"], validate_unique=False)
        key.save(using=self._db)
        return key, text
