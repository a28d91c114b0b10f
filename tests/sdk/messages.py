"""Anthropic's messages: whole, streamed, and with a tool.

ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY say where and as whom.
"""

import json
import os

from anthropic import Anthropic

client = Anthropic()
ask = {
    "model": os.environ.get("MODEL", "claude-sonnet-4-5"),
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}
whole = client.messages.create(**ask)
with client.messages.stream(**ask) as stream:
    streamed = "".join(stream.text_stream)
    final = stream.get_final_message()

tool = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
question = [{"role": "user", "content": "Use get_weather"}]
with client.messages.stream(**{**ask, "messages": question}, tools=[tool]) as stream:
    called = stream.get_final_message()
print(
    json.dumps(
        {
            "text": whole.content[0].text,
            "usage": [whole.usage.input_tokens, whole.usage.output_tokens],
            "streamed": streamed,
            "streamed_usage": [final.usage.input_tokens, final.usage.output_tokens],
            "call": {"name": called.content[0].name, "input": called.content[0].input},
            "stop_reason": called.stop_reason,
        }
    )
)
