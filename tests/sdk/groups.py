"""Chat completions with routing groups; prints what the SDK makes of each, as a list.

CALLS is a JSON list of [model, how], where how is whole, streamed, tools or streamed_tools.
"""

import json
import os

import openai

# What a provider does is the gateway's to repeat here.
client = openai.OpenAI(max_retries=0)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def whole(completion):
    choice = completion.choices[0]
    called = [[call.function.name, json.loads(call.function.arguments)] for call in choice.message.tool_calls or []]
    return {"text": choice.message.content, "called": called, "finish_reason": choice.finish_reason}


def streamed(stream):
    text, name, arguments, reason = "", "", "", None
    for chunk in stream:
        if not chunk.choices:
            continue
        choice = chunk.choices[0]
        text += choice.delta.content or ""
        reason = choice.finish_reason or reason
        for call in choice.delta.tool_calls or []:
            name += call.function.name or ""
            arguments += call.function.arguments or ""
    called = [[name, json.loads(arguments)]] if name else []
    return {"text": text or None, "called": called, "finish_reason": reason}


def ask(model, how):
    with_tools = how.endswith("tools")
    message = {"role": "user", "content": "Use get_weather" if with_tools else "hello"}
    options = {"tools": [TOOL]} if with_tools else {}
    try:
        raw = client.chat.completions.with_raw_response.create(
            model=model, messages=[message], stream=how.startswith("streamed"), **options
        )
        read = streamed if how.startswith("streamed") else whole
        return read(raw.parse()) | {"attempts": raw.headers.get("x-latchkey-attempts")}
    except openai.APIStatusError as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "message": error.message,
            "attempts": error.response.headers.get("x-latchkey-attempts"),
            "retry_after": error.response.headers.get("retry-after"),
        }
    except openai.APIError as error:
        return {"class": type(error).__name__, "message": error.message}


print(json.dumps([ask(model, how) for model, how in json.loads(os.environ["CALLS"])]))
