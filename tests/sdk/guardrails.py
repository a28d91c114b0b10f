"""One prompt through every text API of both SDKs, whole and streamed; prints what each answers.

PROMPT is the prompt. ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY say where and as whom. SAMPLE is the sample
provider's behavior.
"""

import json
import os

import anthropic
import openai

headers = {"x-sample": os.environ.get("SAMPLE", "")}
client = openai.OpenAI(max_retries=0, default_headers=headers)
claude = anthropic.Anthropic(max_retries=0, default_headers=headers)
prompt = os.environ["PROMPT"]
model = os.environ.get("MODEL", "gpt-4o-mini")
claude_model = os.environ.get("CLAUDE_MODEL", "claude-sonnet-4-5")
messages = [{"role": "user", "content": prompt}]


def chat():
    return client.chat.completions.create(model=model, messages=messages).choices[0].message.content


def chat_stream():
    chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def completion():
    return client.completions.create(model=model, prompt=prompt).choices[0].text


def response():
    return client.responses.create(model=model, input=prompt).output_text


def response_stream():
    text, final = "", None
    # Its SDK gives errors as events.
    for event in client.responses.create(model=model, input=prompt, stream=True):
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type == "error":
            return {"error": "APIError", "code": event.code}
        if event.type == "response.completed":
            final = event.response.output_text
    if text != final:
        raise AssertionError(f"the deltas say {text!r}, the whole says {final!r}")
    return text


def message():
    return claude.messages.create(model=claude_model, max_tokens=200, messages=messages).content[0].text


def message_stream():
    with claude.messages.stream(model=claude_model, max_tokens=200, messages=messages) as stream:
        return "".join(stream.text_stream)


def outcome(call):
    try:
        answer = call()
        return answer if isinstance(answer, dict) else {"text": answer}
    except (openai.APIError, anthropic.APIError) as error:
        body = error.body if isinstance(error.body, dict) else {}
        detail = body.get("error", body)
        return {
            "error": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": detail.get("code"),
            "guardrail": detail.get("guardrail"),
        }


calls = [chat, chat_stream, completion, response, response_stream, message, message_stream]
print(json.dumps({call.__name__: outcome(call) for call in calls}))
