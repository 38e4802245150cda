"""What whoever runs the API can do about each outcome, in plain words.

docs/outcomes.md has the same sentences, with links; a test holds the two together.
"""

from __future__ import annotations

from .verdict import Outcome

REMEDIES: dict[Outcome, str] = {
    Outcome.ADMITTED: "Nothing.",
    Outcome.PREFLIGHT_ANSWERED: "Nothing.",
    Outcome.VIEW_ANSWERED: "Look at the view's permissions and throttles.",
    Outcome.ADDRESS_BLOCKED: (
        "Unblock the network if the block is wrong. If the address is your proxy, set "
        "TRUSTED_PROXIES."
    ),
    Outcome.PREFLIGHT_FOREIGN_ORIGIN: "Add the origin to the CORS policy, if it is yours.",
    Outcome.PREFLIGHT_METHOD: "Add the method to “allowed methods” of the CORS policy.",
    Outcome.PREFLIGHT_HEADER: "Add the header to “allowed headers” of the CORS policy.",
    Outcome.FOREIGN_ORIGIN: (
        "Add the origin to the CORS policy, or untick “refuse foreign origins” there."
    ),
    Outcome.BAD_CONTENT_LENGTH: "Mend the client, or the proxy, that sends it.",
    Outcome.HOST_NOT_ALLOWED: (
        "Add the host to ALLOWED_HOSTS, or leave it: scanners send such requests."
    ),
    Outcome.METHOD_NOT_LISTED: (
        "Add the method to “methods” of the route, or the client takes another."
    ),
    Outcome.LENGTH_REQUIRED: "The client sends Content-Length.",
    Outcome.MEDIA_TYPE_NOT_ACCEPTED: (
        "The client sends Content-Type; or add the type to “accepts” of the route."
    ),
    Outcome.BODY_TOO_LARGE: (
        "Raise “largest body” on the route, and the limits of Django and the proxy."
    ),
    Outcome.BODY_UNREADABLE: "Nothing: the client went away.",
    Outcome.NOT_ACCEPTABLE: "The client changes Accept; or change “produces” of the route.",
    Outcome.CREDENTIAL_MALFORMED: (
        "The client sends the key alone; often a line break was copied with it."
    ),
    Outcome.TWO_CREDENTIALS: "The client sends one credential: the key or the token.",
    Outcome.TOKEN_REFUSED: (
        "The reason names what is wrong with the token; the client fetches another, or you "
        "change the issuer."
    ),
    Outcome.TOKEN_EXPIRED: "The client fetches a new one. Many at once: look at the clocks.",
    Outcome.TOKEN_USER_UNKNOWN: "Create or activate the user.",
    Outcome.KEY_MALFORMED: "The client copies the key again.",
    Outcome.KEY_UNKNOWN: "The key was made in another database, such as that of a test system.",
    Outcome.KEY_WRONG_SECRET: (
        "The client copies the key again; if it did not call, somebody guesses: block the address."
    ),
    Outcome.KEY_BROKEN: "manage.py apiguard check names the field; correct it.",
    Outcome.KEY_TEST_NOT_ALLOWED: "The client takes its live key.",
    Outcome.KEY_REVOKED: "Give the client its new key. A revoked key does not come back.",
    Outcome.KEY_EXPIRED: "Rotate the key, or make a new one.",
    Outcome.KEY_NOT_YET_VALID: "Wait, or change “not before” of the key.",
    Outcome.KEY_WRONG_NETWORK: (
        "Add the network to the key; or set TRUSTED_PROXIES if it is your proxy's."
    ),
    Outcome.CLIENT_DISABLED: "Enable the client, if it may call.",
    Outcome.CLIENT_WRONG_NETWORK: (
        "Add the network to the client; or set TRUSTED_PROXIES if it is your proxy's."
    ),
    Outcome.OWNER_INACTIVE: "Give the client another owner.",
    Outcome.TOO_MANY_BAD_CREDENTIALS: (
        "manage.py apiguard unlock ADDRESS, once the client sends the right key."
    ),
    Outcome.PEPPER_UNKNOWN: "Deploy KEY_PEPPERS in three steps.",
    Outcome.LOOK_UP_FAILED: "Look at the database.",
    Outcome.ISSUER_KEYS_AWAY: "Open the issuer in the admin: it says why.",
    Outcome.POLICY_UNAVAILABLE: "Look at the database; run migrate.",
    Outcome.POLICY_BROKEN: "manage.py apiguard check names the row; undo the change.",
    Outcome.ROUTE_CLOSED: "Set another mode on the route.",
    Outcome.PATH_REWRITTEN: "Put that middleware before apiguard's, or give both paths one route.",
    Outcome.LIMIT_EXCEEDED: (
        "Give the client an “override” or another tier, if it should have more; manage.py "
        "apiguard counters reset CLIENT counts from zero."
    ),
    Outcome.COUNTER_AWAY: "Look at Redis; or set the limit to “local”.",
    Outcome.NO_CREDENTIAL: "The client sends its key or token; or change “access” of the route.",
    Outcome.SCOPE_MISSING: "Give the key the scope, in the admin.",
}


def find_remedy(outcome: str) -> str:
    """Return what to do about an outcome; empty for one that this release does not know."""
    return REMEDIES[Outcome(outcome)] if outcome in set(Outcome) else ""
