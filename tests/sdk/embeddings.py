"""Embeddings as the SDK asks for them (base64) and as floats: the numbers must be the same."""

import json
import os

from openai import OpenAI

client = OpenAI()
model = os.environ.get("MODEL", "text-embedding-3-small")
texts = ["one text", "another"]
packed = client.embeddings.create(model=model, input=texts)
floats = client.embeddings.create(model=model, input=texts, encoding_format="float")
distance = max(abs(a - b) for p, f in zip(packed.data, floats.data) for a, b in zip(p.embedding, f.embedding))
print(
    json.dumps(
        {
            "count": len(packed.data),
            "dimensions": len(packed.data[0].embedding),
            "same": distance < 1e-6,
            "tokens": packed.usage.total_tokens,
        }
    )
)
