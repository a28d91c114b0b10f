"""One completion of the older kind, whole and streamed."""

import json
import os

from openai import OpenAI

client = OpenAI()
model = os.environ.get("MODEL", "gpt-3.5-turbo-instruct")
whole = client.completions.create(model=model, prompt="hello")
parts = client.completions.create(model=model, prompt="hello", stream=True)
streamed = "".join(part.choices[0].text for part in parts if part.choices)
print(json.dumps({"text": whole.choices[0].text, "streamed": streamed, "tokens": whole.usage.total_tokens}))
