"""A tool call, whole and streamed, and the answer after the tool's result."""

import json
import os

from openai import OpenAI

client = OpenAI()
model = os.environ.get("MODEL", "gpt-4o-mini")
tools = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
                "required": ["city"],
            },
        },
    }
]
question = {"role": "user", "content": "Use get_weather for Oslo"}


def shown(name, arguments):
    return {"name": name, "arguments": json.loads(arguments)}


first = client.chat.completions.create(model=model, messages=[question], tools=tools)
call = first.choices[0].message.tool_calls[0]

name, arguments, reason = "", "", None
for chunk in client.chat.completions.create(model=model, messages=[question], tools=tools, stream=True):
    if not chunk.choices:
        continue
    reason = chunk.choices[0].finish_reason or reason
    for delta in chunk.choices[0].delta.tool_calls or []:
        name += delta.function.name or ""
        arguments += delta.function.arguments or ""

result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
final = client.chat.completions.create(
    model=model, messages=[question, first.choices[0].message, result], tools=tools
)
print(
    json.dumps(
        {
            "finish_reason": first.choices[0].finish_reason,
            "call": shown(call.function.name, call.function.arguments),
            "streamed_finish_reason": reason,
            "streamed_call": shown(name, arguments),
            "final": final.choices[0].message.content,
        }
    )
)
