"""Runs all of pii-leak-benchmark against the gateway: its self-check, its streams at every two-part split of every
value with partial emission, and the same for its secrets. Prints what leaked, by kind of value.

OPENAI_BASE_URL and OPENAI_API_KEY say where and as whom. The gateway sends MODEL to CAPTURE_PORT, where the benchmark
answers as the provider.
"""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import time

names = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "MODEL", "CAPTURE_PORT")
gateway, key, model, port = (os.environ[name] for name in names)
os.environ["V2_GATEWAY_TOKEN"] = key

from pii_leak_benchmark import fide_emitter, selfcheck, v2_emitter

SEEDS = ("5eed", "c0ffee", "b0a7")
NAME = "latchkey"

began = time.monotonic()
checks, seeds, partial = {}, [], {}
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    out = pathlib.Path(folder)
    read = lambda name: json.loads((out / name).read_text())
    for name, options in [("personal", ["--no-credentials"]), ("credentials", ["--duty", "anonymize"])]:
        where = ["--target-base-url", gateway, "--target-api-key", key, "--target-model", model, "--capture-port", port]
        selfcheck.main([*where, "--iterations", "3", "--json-out", str(out / f"{name}.json"), *options])
        checks[name] = read(f"{name}.json")["checks"]
    where = ["--gateway-url", f"{gateway}/chat/completions", "--upstream-port", port, "--model", model, "--only", NAME]
    for seed in SEEDS:
        v2_emitter.main(
            ["--out", str(out / seed), "--seed", seed, *where, "--exhaustive-splits", "--partial-emission"]
        )
        seeds.append(read(f"{seed}/{NAME}.json"))
        for case in read(f"{seed}/{NAME}.partial-emission.json")["cases"]:
            counts = partial.setdefault(case["case"]["entity"], {"tried": 0, "partial": 0, "failed": 0})
            counts["tried"] += case["partitions_tried"]
            counts["partial"] += case["partitions_partial"]
            counts["failed"] += case["transport_error"] is not None
    oracle = ["--seed", SEEDS[0], "--oracle", "exhaustive-2-part"]
    fide_emitter.main(["--out", str(out / "secrets"), *oracle, *where])
    secrets = read(f"secrets/{NAME}.json")


def streams(reports: list) -> dict:
    """Of each kind of value, how many cases leaked it: whole, and cut somewhere."""
    sums = {}
    for report in reports:
        for entity, arms in report["metrics"]["by_axis_arm"]["entity"].items():
            counts = sums.setdefault(entity, {"whole": [0, 0], "cut": [0, 0]})
            for arm, name in (("single_chunk", "whole"), ("adversarial", "cut")):
                counts[name][0] += arms[arm]["leaked"]
                counts[name][1] += arms[arm]["applicable"]
    return sums


def told(report: dict) -> dict:
    metrics = report["metrics"]
    return {
        "fidelity": metrics["fidelity_rate"],
        "cases": metrics["cases_applicable"],
        "inconclusive": metrics["cases_inconclusive"],
        "left": report["checks"]["configured_upstream_boundary"]["leaked_entity_types"],
    }


print(
    json.dumps(
        {
            "checks": checks,
            "runs": [told(report) for report in [*seeds, secrets]],
            "personal": streams(seeds),
            "secrets": streams([secrets]),
            "partial": partial,
            "seconds": round(time.monotonic() - began),
        }
    )
)
