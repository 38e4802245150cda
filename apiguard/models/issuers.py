"""``JwtIssuer``: who signs tokens that are accepted, and what a token must say."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .. import conf
from ..errors import IssuerError, PolicyError
from ..rules.jwks import parse_key_set
from ..rules.jwks_url import parse_keys_url
from ..rules.jwt import check_algorithms, is_claim_name, parse_required_claims, prepare_key
from ..rules.key_set import KeyProblem
from .base import CompiledModel, PolicyQuerySet
from .fields import ForeignKey, StringListField, list_problems, number_problem, rule_problem

MAX_LEEWAY = 120

KEY_SOURCES = ("secret_name", "jwks", "jwks_url")


class JwtIssuerQuerySet(PolicyQuerySet[Any]):
    """Issuers, and the one write that fetching their keys causes."""

    def keep_copy(self, pk: Any, url: str, jwks: dict[str, Any], at: datetime) -> int:
        """Store fetched keys, if the row still names this URL. Publishes nothing."""
        older = Q(fetched_at=None) | Q(fetched_at__lt=at)
        rows = self.filter(older, pk=pk, jwks_url=url)
        # With the URL: keys of an issuer's former address must not outlive it.
        return models.QuerySet.update(rows, fetched_jwks={**jwks, "url": url}, fetched_at=at)


class JwtIssuer(CompiledModel):
    """One issuer of JSON Web Tokens (RFC 7519), known by its exact ``iss``."""

    # Rows that passed no form may hold a private key in them.
    unaudited: ClassVar[frozenset[str]] = frozenset({"jwks", "fetched_jwks", "fetched_at"})

    name = models.CharField(_("name"), max_length=100, unique=True)
    issuer = models.CharField(
        _("issuer"),
        max_length=255,
        unique=True,
        help_text=_("Exactly as in the tokens' iss, trailing slash included."),
    )
    audiences = StringListField(
        _("audiences"), help_text=_("One per line, at least one; a token must name one of them.")
    )
    audience_claim = models.CharField(
        _("audience claim"),
        max_length=255,
        default="aud",
        help_text=_(
            "The claim that names the audience: aud, or client_id, azp, cid for issuers whose "
            "access tokens have no aud."
        ),
    )
    required_claims = models.JSONField(
        _("required claims"),
        default=dict,
        blank=True,
        help_text=_(
            'What a token must say besides, as a JSON object, such as {"token_use": "access", '
            '"tid": "…"}. Of a list of values one is enough. Refresh and ID tokens that say what '
            "they are in token_type, token_use or typ are refused anyway."
        ),
    )
    algorithms = StringListField(
        _("algorithms"),
        help_text=_(
            "Of one family: HS, RS, PS, ES or EdDSA. Prohibited: HS256 beside RS256. "
            "EdDSA stands for Ed25519 and Ed448 too."
        ),
    )
    secret_name = models.CharField(
        _("name of the secret"),
        max_length=64,
        blank=True,
        help_text=_("A name in APIGUARD['JWT_SECRETS']; secrets are never kept in the database."),
    )
    jwks = models.JSONField(
        _("public keys"), null=True, blank=True, help_text=_("A JWK set (RFC 7517), pasted here.")
    )
    jwks_url = models.URLField(
        _("URL of public keys"), blank=True, help_text=_("https; answers with a JWK set.")
    )
    fetched_jwks = models.JSONField(_("fetched keys"), null=True, blank=True, editable=False)
    fetched_at = models.DateTimeField(_("fetched at"), null=True, blank=True, editable=False)
    leeway = models.PositiveSmallIntegerField(
        _("leeway"), default=30, help_text=_("Seconds by which clocks may differ; at most 120.")
    )
    token_types = StringListField(
        _("token types"),
        help_text=_(
            "Values of the header's typ: JWT, at+jwt, none. Empty: any of these. "
            "at+jwt alone: RFC 9068."
        ),
    )
    max_lifetime = models.PositiveIntegerField(
        _("longest lifetime"), null=True, blank=True, help_text=_("Seconds from iat to exp.")
    )
    tier = ForeignKey(
        "apiguard.Tier",
        verbose_name=_("tier"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="issuers",
        help_text=_("Counts each subject by itself. Empty: not limited."),
    )
    tier_claim = models.CharField(
        _("tier claim"),
        max_length=255,
        blank=True,
        help_text=_("A claim that names a tier's slug; dots lead into objects (plan.tier)."),
    )
    scope_claim = models.CharField(
        _("scope claim"),
        max_length=255,
        default="scope",
        help_text=_(
            "A claim with scopes, as a list or separated by spaces; dots lead into objects "
            "(realm_access.roles)."
        ),
    )
    user_field = models.CharField(
        _("user field"),
        max_length=64,
        blank=True,
        help_text=_("Field of the user model that equals sub. Empty: tokens have no user row."),
    )
    enabled = models.BooleanField(_("enabled"), default=True)

    objects: ClassVar[Any] = models.Manager.from_queryset(JwtIssuerQuerySet)()

    class Meta:
        verbose_name = _("JWT issuer")
        verbose_name_plural = _("JWT issuers")
        ordering: ClassVar[list[str]] = ["name"]
        constraints = (
            models.CheckConstraint(
                condition=models.Q(leeway__lte=MAX_LEEWAY), name="apiguard_issuer_leeway"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def rule_problems(self) -> list[PolicyError]:
        problems = [
            *list_problems(self, "audiences", _check_audience),
            *list_problems(self, "token_types", _check_token_type),
            *number_problem(self, "leeway", 0, MAX_LEEWAY),
            *_claim_problems(self),
            *_user_field_problems(self.user_field),
        ]
        if not self.audiences:
            problems.append(
                IssuerError(
                    "no_audience",
                    "",
                    "No audience is named.",
                    "Name what tokens for this API say in aud.",
                    field="audiences",
                )
            )
        if (wrong := rule_problem("algorithms", check_algorithms, self.algorithms)) is not None:
            return [*problems, wrong]
        return [*problems, *self._key_problems()]

    def _key_problems(self) -> list[PolicyError]:
        given = [name for name in KEY_SOURCES if getattr(self, name) not in (None, "")]
        if len(given) != 1:
            return [_unclear_source(given)]
        if (given[0] == "secret_name") != self.algorithms[0].startswith("HS"):
            return [_wrong_source(given[0])]
        return {
            "secret_name": self._secret_problems,
            "jwks": self._jwks_problems,
            "jwks_url": self._url_problems,
        }[given[0]]()

    @sensitive_variables()
    def _secret_problems(self) -> list[PolicyError]:
        secrets = conf.current().jwt_secrets.get(self.secret_name)
        if secrets is None:
            return [
                IssuerError(
                    "unknown_secret",
                    self.secret_name,
                    f"APIGUARD['JWT_SECRETS'] has no secret {self.secret_name!r}.",
                    "Add it to the settings, or write a name that is there.",
                    field="secret_name",
                )
            ]
        found = [
            rule_problem("secret_name", prepare_key, secret, algorithm)
            for secret in secrets
            for algorithm in self.algorithms
        ]
        return [problem for problem in found if problem is not None][:1]

    def _jwks_problems(self) -> list[PolicyError]:
        try:
            dropped = parse_key_set(self.jwks, self.algorithms).dropped
        except IssuerError as error:
            return [error.at("jwks")]
        if not {key.problem for key in dropped} & {KeyProblem.PRIVATE, KeyProblem.SECRET}:
            return []
        return [
            IssuerError(
                "private_key",
                "",
                "A key of the set is private or secret, and whoever holds it can sign.",
                "Paste public keys only, and have the issuer replace the one that was here.",
                field="jwks",
            )
        ]

    def _url_problems(self) -> list[PolicyError]:
        problem = rule_problem("jwks_url", parse_keys_url, self.jwks_url)
        return [] if problem is None else [problem]


def _claim_problems(row: JwtIssuer) -> list[PolicyError]:
    problems = [rule_problem("required_claims", parse_required_claims, row.required_claims)]
    for name in ("audience_claim", "scope_claim", "tier_claim"):
        value = getattr(row, name)
        if not is_claim_name(value) and (name == "audience_claim" or value != ""):
            reason = "This cannot be the name of a claim."
            hint = "Write a name such as aud, or a path such as realm_access.roles."
            problems.append(IssuerError("bad_claim_name", value, reason, hint, field=name))
    return [problem for problem in problems if problem is not None]


def _unclear_source(given: list[str]) -> IssuerError:
    return IssuerError(
        "two_key_sources" if given else "no_key_source",
        ", ".join(given),
        "It is not clear where the keys come from.",
        "Give exactly one of a named secret, pasted public keys, and a URL.",
        field=given[-1] if given else "algorithms",
    )


def _wrong_source(given: str) -> IssuerError:
    return IssuerError(
        "wrong_key_source",
        "",
        "These algorithms take another kind of key.",
        "HS algorithms take a named secret; all others public keys, pasted or from a URL.",
        field=given,
    )


def _user_field_problems(name: str) -> list[PolicyError]:
    allowed = _identifying_fields()
    if name in ("", "pk", *allowed):
        return []
    return [
        IssuerError(
            "bad_user_field",
            name,
            "One value of this field does not stand for one user.",
            f"Write a unique field of the user model: {', '.join(allowed)}.",
            field="user_field",
        )
    ]


def _identifying_fields() -> list[str]:
    """Columns of the user model in which every user has a value of their own."""
    meta = get_user_model()._meta
    alone = {constraint.fields for constraint in meta.total_unique_constraints}
    return [
        field.name
        for field in meta.concrete_fields
        if (field.unique or (field.name,) in alone) and not isinstance(field, models.BooleanField)
    ]


def _check_audience(audience: str) -> None:
    if not 1 <= len(audience) <= 255 or not audience.isprintable():
        raise IssuerError("bad_audience", audience, "This cannot be an audience.", "Write a name.")


def _check_token_type(token_type: str) -> None:
    if token_type.lower() not in ("jwt", "at+jwt", "none"):
        raise IssuerError(
            "unknown_token_type",
            token_type,
            f"{token_type!r} is not a token type that is understood.",
            'Write "JWT", "at+jwt", or "none" for tokens without a type.',
        )
