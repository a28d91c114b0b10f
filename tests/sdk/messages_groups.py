"""Messages of Anthropic's API with routing groups; prints what the SDK makes of each, as a list.

CALLS is a JSON list of [model, how], where how is whole, streamed, tools or streamed_tools.
"""

import json
import os

import anthropic

# What a provider does is the gateway's to repeat here.
client = anthropic.Anthropic(max_retries=0)
TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def told(message):
    texts = [block.text for block in message.content if block.type == "text"]
    called = [[block.name, block.input] for block in message.content if block.type == "tool_use"]
    return {"text": "".join(texts) or None, "called": called, "finish_reason": message.stop_reason}


def ask(model, how):
    with_tools = how.endswith("tools")
    message = {"role": "user", "content": "Use get_weather" if with_tools else "hello"}
    options = {"tools": [TOOL]} if with_tools else {}
    asked = {"model": model, "max_tokens": 100, "messages": [message]} | options
    try:
        if how.startswith("streamed"):
            with client.messages.stream(**asked) as stream:
                return told(stream.get_final_message()) | {
                    "attempts": stream.response.headers.get("x-latchkey-attempts")
                }
        raw = client.messages.with_raw_response.create(**asked)
        return told(raw.parse()) | {"attempts": raw.headers.get("x-latchkey-attempts")}
    except anthropic.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "type": body.get("error", {}).get("type"),
            "code": body.get("error", {}).get("code"),
            "message": error.message,
            "attempts": error.response.headers.get("x-latchkey-attempts"),
            "retry_after": error.response.headers.get("retry-after"),
        }


print(json.dumps([ask(model, how) for model, how in json.loads(os.environ["CALLS"])]))
