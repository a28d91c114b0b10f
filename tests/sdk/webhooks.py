"""Verifies messages with the official library, each with a secret: prints the type of each, or null."""

import json
import os

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def verified(secret, message):
    try:
        return Webhook(secret).verify(message["body"], message["headers"])["type"]
    except WebhookVerificationError:
        return None


print(json.dumps([verified(**asked) for asked in json.loads(os.environ["MESSAGES"])]))
