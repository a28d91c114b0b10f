"""The responses API: whole, streamed, and with a tool."""

import json
import os

from openai import OpenAI

client = OpenAI()
model = os.environ.get("MODEL", "gpt-4o-mini")
whole = client.responses.create(model=model, input="hello")

events, streamed, final = [], "", None
for event in client.responses.create(model=model, input="hello", stream=True):
    if not events or events[-1] != event.type:
        events.append(event.type)
    if event.type == "response.output_text.delta":
        streamed += event.delta
    if event.type == "response.completed":
        final = event.response

tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
called = client.responses.create(model=model, input="Use get_weather", tools=[tool])
print(
    json.dumps(
        {
            "text": whole.output_text,
            "tokens": whole.usage.total_tokens,
            "events": events,
            "streamed": streamed,
            "final": final.output_text,
            "call": {"name": called.output[0].name, "arguments": json.loads(called.output[0].arguments)},
        }
    )
)
