"""The list of models, and MODEL retrieved; a failure to retrieve is printed as its class and code."""

import json
import os

import openai

client = openai.OpenAI(max_retries=0)
listed = [model.id for model in client.models.list()]
try:
    retrieved = client.models.retrieve(os.environ.get("MODEL", "gpt-4o-mini")).id
except openai.APIStatusError as error:
    retrieved = {"class": type(error).__name__, "code": error.code}
print(json.dumps({"listed": listed, "retrieved": retrieved}))
