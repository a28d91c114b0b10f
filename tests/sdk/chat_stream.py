"""One streamed chat completion; prints what its chunks add up to.

INCLUDE_USAGE=1 asks for the chunk with the usage.
"""

import json
import os

from openai import OpenAI

client = OpenAI()
options = {"stream_options": {"include_usage": True}} if os.environ.get("INCLUDE_USAGE") else {}
stream = client.chat.completions.create(
    model=os.environ.get("MODEL", "gpt-4o-mini"),
    messages=[{"role": "user", "content": os.environ.get("PROMPT", "hello")}],
    stream=True,
    extra_headers={"x-sample": os.environ.get("SAMPLE", "")},
    **options,
)
text, reasons, usages, without_choices, chunks = "", [], [], 0, 0
for chunk in stream:
    chunks += 1
    if chunk.usage:
        usages.append(chunk.usage.model_dump())
    if not chunk.choices:
        without_choices += 1
        continue
    choice = chunk.choices[0]
    text += choice.delta.content or ""
    if choice.finish_reason:
        reasons.append(choice.finish_reason)
print(
    json.dumps(
        {
            "text": text,
            "finish_reasons": reasons,
            "usages": usages,
            "chunks_without_choices": without_choices,
            "chunks": chunks,
        }
    )
)
