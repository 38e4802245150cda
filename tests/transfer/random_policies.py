"""Random policies that compile, as the documents that hold them."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "off", "1:00", "Zürich: no # comment", "null"])
SLUGS = st.sampled_from(["a", "b", "off", "0x1f", "2026-12-01"])
FLAGS = st.booleans()
METHODS = st.lists(st.sampled_from(["PATCH", "PUT", "DELETE"]), unique=True)
HEADER_NAMES = st.lists(st.sampled_from(["X-A", "X-B", "Authorization"]), unique=True)
TYPES = st.lists(
    st.sampled_from(["application/json", "text/html", "image/png"]), unique=True, max_size=2
)
# What only looks like something else; what databases keep in orders of their own.
WORDS = st.sampled_from(["yes", "1e3", "~", "", "- a", "a: b", "\t\x7f\u2028\U0001f600é\n"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=5,
)


def by_name(rows, name, *, least=0):
    return st.lists(rows, unique_by=lambda row: row[name], min_size=least, max_size=3)


ORIGINS = st.fixed_dictionaries(
    {
        "pattern": st.sampled_from(
            ["https://a.example", "https://*.b.example", "http://localhost:*"]
        )
    },
    optional={"enabled": FLAGS, "note": WORDS.map(str.strip)},
)
CORS_POLICIES = st.fixed_dictionaries(
    {"name": NAMES, "origins": by_name(ORIGINS, "pattern")},
    optional={
        "allowed_methods": METHODS,
        "allowed_headers": HEADER_NAMES,
        "exposed_headers": HEADER_NAMES,
        "max_age": st.integers(0, 86400),
        "refuse_foreign_origins": FLAGS,
        "allow_credentials": FLAGS,
        "dangerously_allow_insecure_origins": FLAGS,
        "dangerously_allow_public_suffixes": FLAGS,
    },
)
HEADERS = st.fixed_dictionaries(
    {"name": st.sampled_from(["X-A", "x-b", "Referrer-Policy"]), "value": st.just("no-referrer")},
    optional={
        "condition": st.sampled_from(["always", "https"]),
        "mode": st.sampled_from(["default", "force"]),
        "content_types": TYPES,
    },
)
HEADER_POLICIES = st.fixed_dictionaries({"name": NAMES, "headers": by_name(HEADERS, "name")})
MODES = {
    "mode": st.sampled_from(["enforce", "shadow"]),
    "on_store_failure": st.sampled_from(["local", "open", "closed"]),
}


@st.composite
def limits(draw, routes):
    limit = {
        "name": draw(st.sampled_from(["m", "off", "0"])),
        "amount": draw(st.integers(7, 10**9)),
    }
    if draw(FLAGS):
        limit |= {"kind": "quota", "calendar": draw(st.sampled_from(["day", "month"]))}
    else:
        limit["period"] = draw(st.integers(1, 86400))
    if routes and draw(FLAGS):
        limit["route"] = draw(st.sampled_from(routes))
    return limit | draw(st.fixed_dictionaries({}, optional=MODES))


@st.composite
def issuers(draw, tiers):
    name = draw(SLUGS)
    keys = draw(
        st.sampled_from(
            [
                {"algorithms": ["HS256"], "secret_name": "demo"},
                {"algorithms": ["ES256", "ES384"], "jwks_url": "https://keys.example/jwks"},
                {"algorithms": ["ES256"], "jwks": {"keys": [P256]}},
            ]
        )
    )
    tier = {"tier": st.sampled_from(tiers)} if tiers else {}
    optional = {
        "audience_claim": st.sampled_from(["aud", "azp"]),
        "required_claims": st.sampled_from([{}, {"token_use": "access", "a": ["off", "1:00"]}]),
        "leeway": st.integers(0, 120),
        "token_types": st.sampled_from([[], ["JWT"], ["at+jwt", "none"]]),
        "max_lifetime": st.none() | st.integers(1, 86400),
        "tier_claim": st.sampled_from(["", "plan.tier"]),
        "scope_claim": st.sampled_from(["scp", "scope", "realm_access.roles"]),
        "user_field": st.sampled_from(["", "pk", "username"]),
        "enabled": FLAGS,
        **tier,
    }
    row = {"name": name, "issuer": f"https://{name}.example", "audiences": ["api"], **keys}
    return row | draw(st.fixed_dictionaries({}, optional=optional))


P256 = {
    "kty": "EC",
    "crv": "P-256",
    "kid": "1",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "ext": True,
}
PREFIXES = {"a": "/a/", "b": "/b/", "off": "/a/off/", "/c/": "/c"}


@st.composite
def routes(draw, document):
    name = draw(st.sampled_from(list(PREFIXES)))
    optional = {
        "mode": st.sampled_from(["enforce", "observe", "off"]),
        "access": st.sampled_from(["public", "credentials", "application"]),
        "methods": METHODS,
        "accepts": TYPES,
        "produces": TYPES,
        "max_body_bytes": st.none() | st.integers(0, 2**20),
        "cost": st.integers(1, 7),
    }
    for field, section in (
        ("cors_policy", "cors_policies"),
        ("header_policy", "header_policies"),
        ("anonymous_tier", "tiers"),
        ("user_tier", "tiers"),
    ):
        names = [row.get("slug", row["name"]) for row in document[section]]
        if names:
            optional[field] = st.none() | st.sampled_from(names)
    row = {"name": name, "path_prefix": PREFIXES[name]}
    row |= draw(st.fixed_dictionaries({}, optional=optional))
    if row.get("access", "credentials") == "credentials" and draw(FLAGS):
        row["required_scopes"] = ["orders:read"]
    return row


@st.composite
def clients(draw, tiers, limit_names):
    row = {"slug": draw(SLUGS), "name": draw(NAMES)}
    optional = {
        "enabled": FLAGS,
        "allowed_networks": st.sampled_from([[], ["192.0.2.0/24", "2001:db8::/32"]]),
        "metadata": st.dictionaries(WORDS, JSON, max_size=3),
        "owner": st.just("alice"),
    }
    if tiers:
        optional["tier"] = st.sampled_from(tiers)
    row |= draw(st.fixed_dictionaries({}, optional=optional))
    if "owner" in row:
        row["acts_as_owner"] = draw(FLAGS)
    if limit_names:
        overrides = st.fixed_dictionaries(
            {"limit": st.sampled_from(limit_names), "amount": st.integers(1, 9)},
            optional={"until": st.just("2999-12-31T23:59:59Z"), "reason": WORDS.map(str.strip)},
        )
        row["overrides"] = draw(by_name(overrides, "limit"))
    return row


@st.composite
def policies(draw):
    """A whole document; user ``alice`` must exist."""
    document = {
        "cors_policies": draw(by_name(CORS_POLICIES, "name")),
        "header_policies": draw(by_name(HEADER_POLICIES, "name")),
        "tiers": draw(by_name(st.fixed_dictionaries({"slug": SLUGS, "name": NAMES}), "slug")),
    }
    document["routes"] = draw(by_name(routes(document), "name"))
    names = [row["name"] for row in document["routes"]]
    for tier in document["tiers"]:
        tier["limits"] = draw(by_name(limits(names), "name"))
    tiers = [row["slug"] for row in document["tiers"]]
    document["issuers"] = draw(by_name(issuers(tiers), "name"))
    limit_names = [
        f"{t['slug']}/{limit['name']}" for t in document["tiers"] for limit in t["limits"]
    ]
    document["clients"] = draw(by_name(clients(tiers, limit_names), "slug"))
    return document
