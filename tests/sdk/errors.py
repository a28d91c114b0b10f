"""Chat completions that are expected to fail; prints what the SDK makes of each, as a list.

MODELS names one model per attempt, with commas between them (one gpt-4o-mini unless set);
MAX_RETRIES is the SDK's setting (0 unless set); HEADERS is a JSON object of headers to add.
"""

import json
import os

import openai

client = openai.OpenAI(max_retries=int(os.environ.get("MAX_RETRIES", "0")))
headers = json.loads(os.environ.get("HEADERS", "{}"))


def attempt(model):
    message = {"role": "user", "content": "hello"}
    try:
        completion = client.chat.completions.create(model=model, messages=[message], extra_headers=headers)
        return {"class": None, "text": completion.choices[0].message.content}
    except openai.APIStatusError as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "type": error.type,
            "message": error.message,
            "request_id": error.request_id,
            "retry_after": error.response.headers.get("retry-after"),
            "should_retry": error.response.headers.get("x-should-retry"),
            "headers": dict(error.response.headers),
        }
    except openai.APIError as error:
        return {"class": type(error).__name__, "message": str(error)}


print(json.dumps([attempt(model) for model in os.environ.get("MODELS", "gpt-4o-mini").split(",")]))
