"""Runs pii-leak-benchmark against the gateway: what the provider sees, what the client gets back, and streams
that are cut at every place of a value. Prints its reports.

OPENAI_BASE_URL and OPENAI_API_KEY say where and as whom. The gateway sends MODEL to CAPTURE_PORT, where the benchmark
answers as the provider.
"""

import contextlib
import io
import json
import os
import pathlib
import tempfile

from pii_leak_benchmark import selfcheck, v2_emitter

names = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "MODEL", "CAPTURE_PORT")
gateway, key, model, port = (os.environ[name] for name in names)
os.environ["V2_GATEWAY_TOKEN"] = key

said = io.StringIO()
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
    out = pathlib.Path(folder)
    for name, options in [("personal", ["--no-credentials"]), ("credentials", ["--duty", "anonymize"])]:
        selfcheck.main(
            [
                "--target-base-url", gateway,
                "--target-api-key", key,
                "--target-model", model,
                "--capture-port", port,
                "--iterations", os.environ.get("ITERATIONS", "1"),
                "--json-out", str(out / f"{name}.json"),
                *options,
            ]
        )
    v2_emitter.main(
        [
            "--out", str(out / "v2"),
            "--json-out", str(out / "v2.json"),
            "--gateway-url", f"{gateway}/chat/completions",
            "--upstream-port", port,
            "--model", model,
            "--only", "latchkey",
            "--seed", os.environ.get("SEED", "5eed"),
            "--oracle", os.environ.get("ORACLE", "exhaustive-2-part"),
            "--partial-emission",
        ]
    )
    read = lambda name: json.loads((out / name).read_text())
    reports = {
        "personal": read("personal.json")["checks"],
        "credentials": read("credentials.json")["checks"],
        "streams": read("v2.json")["rows"],
        "partial": read("v2/latchkey.partial-emission.json")["metrics"],
    }
print(json.dumps({**reports, "said": said.getvalue()}))
