"""A system text through the APIs of both SDKs; prints what each answers, or why it is refused.

SYSTEM is the system text, VARIABLES the header with values; none where it is empty.
"""

import json
import os

import anthropic
import openai

variables = os.environ.get("VARIABLES", "")
headers = {"X-Prompt-Variables": variables} if variables else {}
client = openai.OpenAI(max_retries=0, default_headers=headers)
claude = anthropic.Anthropic(max_retries=0, default_headers=headers)
system = os.environ["SYSTEM"]
model = os.environ.get("MODEL", "gpt-4o-mini")
claude_model = os.environ["CLAUDE_MODEL"]
user = {"role": "user", "content": "{{prompt:tone}}"}


def chat():
    messages = [{"role": "system", "content": system}, user]
    return client.chat.completions.create(model=model, messages=messages).choices[0].message.content


def developer():
    part = {"type": "text", "text": system}
    messages = [{"role": "developer", "content": [part]}, user]
    chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def response():
    return client.responses.create(model=model, instructions=system, input=user["content"]).output_text


def message():
    answer = claude.messages.create(model=claude_model, max_tokens=200, system=system, messages=[user])
    return answer.content[0].text


def outcome(call):
    try:
        return {"text": call()}
    except (openai.APIError, anthropic.APIError) as error:
        body = error.body if isinstance(error.body, dict) else {}
        detail = body.get("error", body)
        return {"error": type(error).__name__, "code": detail.get("code"), "message": detail.get("message")}


calls = [chat, developer, response, message]
print(json.dumps({call.__name__: outcome(call) for call in calls}))
