"""Models as the anthropic SDK lists them: all, page by page, and one.

ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY say where and as whom.
"""

import json

from anthropic import Anthropic, NotFoundError

client = Anthropic(max_retries=0)
listed = client.models.list(limit=1000)
paged = [model.id for model in client.models.list(limit=1)]
one = client.models.retrieve(listed.data[0].id)
try:
    client.models.retrieve("gpt-4o")
    missing = None
except NotFoundError as error:
    missing = error.body["error"]["code"]
print(
    json.dumps(
        {
            "listed": [model.id for model in listed.data],
            "has_more": listed.has_more,
            "paged": paged,
            "one": {"id": one.id, "type": one.type, "display_name": one.display_name},
            "created": one.created_at.year > 2020,
            "missing": missing,
        }
    )
)
