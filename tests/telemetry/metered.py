"""Two processes that count metrics into one folder; run by test_metrics.

Prints one JSON object: what the page of the first shows after the other has ended.
"""

# ruff: noqa: E402 - models exist only after setup()

from __future__ import annotations

import json
import os

import django

django.setup()

from prometheus_client.parser import text_string_to_metric_families

from apiguard.telemetry import metrics as module


def main() -> None:
    module.read_policy = lambda: module.PolicyGauges(7, 0.0, 12)
    module.metrics().count_refusal("api", "no_credential", True)
    child = os.fork()
    if not child:
        module.metrics().count_refusal("api", "no_credential", True)
        module.metrics().count_refusal("api", "no_credential", True)
        os._exit(0)
    os.waitpid(child, 0)
    body, _ = module.exposition("")
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    answer = {
        "refusals": found["apiguard_refusals_total"],
        "revision": found["apiguard_policy_revision"],
        "keyring": found["apiguard_keyring_keys"],
    }
    print(json.dumps(answer))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
