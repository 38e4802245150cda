"""What can be wrong with an origin pattern, by code: the reason and what to do.

Every code is raised or returned by ``origins.py`` and nowhere else.
"""

from __future__ import annotations

from typing import Final

MISTAKES: Final[dict[str, tuple[str, str]]] = {
    "empty": ("The origin is empty.", "Write one like https://app.example.com."),
    "too_long": (
        "The origin is longer than a host name can be.",
        "A host has at most 253 characters.",
    ),
    "white_space": (
        "The origin contains white space or control characters.",
        "Write one origin, without blanks.",
    ),
    "null_origin": (
        "null is what every sandboxed page sends, also a hostile one.",
        "Serve the page from an origin of its own and permit that.",
    ),
    "file_origin": (
        "Pages opened from files have no origin of their own.",
        "Serve the page over http://localhost and permit that.",
    ),
    "several_origins": ("This is more than one origin.", "Write one origin per row."),
    "regular_expression": (
        "Regular expressions are not supported.",
        "List the origins, or write *. before a domain to permit all its subdomains.",
    ),
    "no_scheme": ("The scheme is missing.", "Begin with https://."),
    "non_ascii": (
        "Browsers send international names in their ASCII form.",
        "Write the form that begins with xn--.",
    ),
    "upper_case": ("Browsers send origins in lower case.", "Write it in lower case."),
    "unknown_scheme": (
        "Pages of this scheme cannot be permitted.",
        "Use https or http, or capacitor, ionic, tauri, chrome-extension or moz-extension.",
    ),
    "path": ("An origin has no path.", "End after the host or port, without a slash."),
    "query": ("An origin has no query and no fragment.", "End after the host or port."),
    "user_info": ("An origin has no user name or password.", "Begin the host after ://."),
    "no_host": ("The host is missing.", "Write the host after ://."),
    "wildcard_position": (
        "A * may only be the whole leftmost label of a host, or the port.",
        "Write https://*.example.com, https://localhost:*, or * alone.",
    ),
    "wildcard_ip": ("Addresses have no subdomains.", "Write each address out."),
    "bad_ip": (
        "This is not an address as browsers write it.",
        "Write four decimal numbers, or shortest IPv6 in brackets.",
    ),
    "bad_label": (
        "Between its dots a host has 1 to 63 letters, digits and inner hyphens.",
        "Write the host as browsers send it, without a dot at its end.",
    ),
    "bad_port": ("The port is not a number from 1 to 65535.", "Write a number, or *."),
    "default_port": ("Browsers leave out the scheme's default port.", "Leave it out."),
    "wildcard_with_credentials": (
        "Credentials may not be permitted to every origin.",
        "List the origins, or switch credentials off.",
    ),
    "insecure_with_credentials": (
        "Anybody who controls the network can speak for an http origin.",
        "Use https, or switch credentials off.",
    ),
    "public_suffix": (
        "Anyone can register a name under this domain.",
        "Write a domain that is yours after the *. sign.",
    ),
}
