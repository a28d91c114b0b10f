"""One message that is expected to fail; prints what the SDK makes of it.

MAX_RETRIES is the SDK's setting (0 unless set).
"""

import json
import os

import anthropic

client = anthropic.Anthropic(max_retries=int(os.environ.get("MAX_RETRIES", "0")))
try:
    client.messages.create(
        model=os.environ.get("MODEL", "claude-sonnet-4-5"),
        max_tokens=100,
        messages=[{"role": "user", "content": "hello"}],
    )
    print(json.dumps({"class": None}))
except anthropic.APIStatusError as error:
    print(
        json.dumps(
            {
                "class": type(error).__name__,
                "status": error.status_code,
                "type": error.body["error"]["type"] if isinstance(error.body, dict) else None,
                "message": error.message,
                "headers": dict(error.response.headers),
            }
        )
    )
