"""An admin sends events to a program: a test, one that fails, and the same again."""

import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from playwright.sync_api import expect
from standardwebhooks.webhooks import Webhook

from portal import story


class Receiver(BaseHTTPRequestHandler):
    status, messages = 204, []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.messages.append((body, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(Receiver.status)
        self.end_headers()
        if Receiver.status != 204:
            self.wfile.write(b"<b>not now</b>")

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()

with story() as latchkey:
    ada = latchkey.at_home(latchkey.person("Ada", "admin"))

    latchkey.tells("Ada creates a webhook, and is told what is wrong first")
    ada.get_by_role("link", name="Webhooks").click()
    ada.get_by_role("link", name="Create webhook").click()
    ada.get_by_label("Name").fill("On-call")
    ada.get_by_label("URL").fill("https://10.0.0.1/")
    ada.get_by_role("button", name="Create webhook").click()
    expect(ada.get_by_label("URL")).to_have_attribute("aria-invalid", "true")
    ada.get_by_label("URL").fill(f"http://127.0.0.1:{server.server_port}/hook")
    ada.get_by_role("textbox", name="Events").fill("key.*\nquota.*")
    ada.get_by_role("button", name="Create webhook").click()
    secret = ada.locator("#value").inner_text()
    assert secret.startswith("whsec_")
    expect(ada.get_by_role("button", name="Copy")).to_be_visible()
    ada.get_by_role("link", name="Done").click()

    latchkey.tells("she sends a test, which the official library verifies")
    ada.get_by_role("button", name="Send test").click()
    latchkey.until("the test", lambda: Receiver.messages)
    body, headers = Receiver.messages[0]
    assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"

    latchkey.tells("a key is created while the receiver fails: it is counted, and shown with its answer")
    Receiver.status = 500
    latchkey.app("Support Bot")
    latchkey.until("the message", lambda: len(Receiver.messages) > 1)
    row = ada.get_by_role("row", name=re.compile("key.created"))
    latchkey.until("the attempt", lambda: ada.reload() and row.count() and "1" in row.inner_text())
    expect(ada.get_by_role("link", name="Webhooks 1 failing")).to_be_visible()
    ada.get_by_role("link", name="key.created").click()
    expect(ada.get_by_role("main")).to_contain_text("it responded with 500")
    expect(ada.get_by_role("main")).to_contain_text("<b>not now</b>")

    latchkey.tells("it is repaired, and she sends it again: the same message")
    Receiver.status = 204
    count = len(Receiver.messages)
    ada.get_by_role("button", name="Send again").click()
    expect(ada.get_by_role("status")).to_contain_text("Message queued")
    latchkey.until("the message", lambda: len(Receiver.messages) > count)
    (first, first_headers), (last, last_headers) = Receiver.messages[1], Receiver.messages[-1]
    assert (first, first_headers["webhook-id"]) == (last, last_headers["webhook-id"])
    state = ada.get_by_role("definition").filter(has_text="delivered")
    latchkey.until("the state", lambda: ada.reload() and state.count())
    expect(ada.get_by_role("link", name=re.compile("failing"))).to_have_count(0)

    latchkey.tells("she replaces the secret, and deletes the webhook")
    ada.get_by_role("link", name="On-call").click()
    ada.get_by_text("Replace secret…").click()
    ada.get_by_role("button", name="Replace secret of On-call").click()
    assert ada.locator("#value").inner_text() != secret
    ada.get_by_role("link", name="Done").click()
    ada.get_by_text("Delete this webhook…").click()
    ada.get_by_role("button", name="Delete On-call").click()
    expect(ada.get_by_role("main")).to_contain_text("No webhooks yet")
print("{}")
