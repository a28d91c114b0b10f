"""One chat completion; prints what the SDK has read."""

import os

from openai import OpenAI

client = OpenAI()
completion = client.chat.completions.create(
    model=os.environ.get("MODEL", "gpt-4o-mini"),
    messages=[{"role": "user", "content": os.environ.get("PROMPT", "hello")}],
    extra_headers={"x-sample": os.environ.get("SAMPLE", "")},
)
print(completion.model_dump_json())
