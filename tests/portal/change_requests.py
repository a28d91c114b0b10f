"""Alice asks for changes; Ada decides. One goes stale meanwhile, and is asked for again."""

import re

from openai import BadRequestError
from playwright.sync_api import Page, expect

from portal import story


def refused(latchkey, app: dict, message: dict) -> bool:
    """Whether the gateway refuses this message."""
    try:
        latchkey.client(app["key"]["value"]).chat.completions.create(model="gpt-4o-mini", messages=[message])
    except BadRequestError as error:
        return error.code == "guardrail_blocked"
    return False


with story() as latchkey:
    app = latchkey.app("Support Bot", mode="named", limits={"requests_per_minute": 60}, tags=["beta"])
    latchkey.grant(app, settings_request={"mode": "everyone"})
    requester = latchkey.person("Alice")
    alice = latchkey.at_home(requester)
    ada = latchkey.at_home(latchkey.person("Ada", "admin"))

    def asks_for(page: Page, requests_per_minute: str, reason: str):
        page.goto(f"/apps/{app['id']}/request/update_config")
        page.locator("[name='limits.requests_per_minute']").fill(requests_per_minute)
        page.get_by_role("button", name="Preview").click()
        sends(page, requests_per_minute, reason)

    def sends(page: Page, requests_per_minute: str, reason: str):
        expect(page.get_by_role("row", name=re.compile("requests per minute"))).to_contain_text(requests_per_minute)
        page.get_by_label("Reason").fill(reason)
        page.get_by_role("button", name="Submit request").click()

    def limit() -> int:
        return latchkey.api.get(f"/apps/{app['id']}")["limits"]["requests_per_minute"]

    latchkey.tells("Alice opens the form from her app, and sees what it would change before she sends it")
    alice.get_by_role("link", name="Support Bot").click()
    alice.get_by_role("link", name="Limits, models and configuration").click()
    asks_for(alice, "120", "The launch on Monday")
    expect(alice.get_by_role("main")).to_contain_text("pending")
    assert limit() == 60

    latchkey.tells("Ada finds it, and approves it")
    ada.goto("/admin/requests")
    ada.get_by_role("row", name=re.compile("Support Bot")).get_by_role("link").first.click()
    expect(ada.get_by_role("main")).to_contain_text("The launch on Monday")
    ada.get_by_role("button", name="Approve and apply").click()
    expect(ada.get_by_role("status")).to_be_visible()
    assert limit() == 120

    latchkey.tells("Alice sees it under her requests")
    alice.goto("/requests")
    expect(alice.get_by_role("row", name=re.compile("Support Bot"))).to_contain_text("approved")

    latchkey.tells("she asks for more; an admin changes the same limit first, and hers goes stale")
    asks_for(alice, "240", "It was a success")
    latchkey.api.patch(f"/apps/{app['id']}", {"limits": {"requests_per_minute": 90}})
    alice.reload()
    expect(alice.get_by_role("main")).to_contain_text("stale")

    latchkey.tells("she asks again, on top of what is now")
    alice.get_by_role("link", name="Request again").click()
    alice.get_by_role("button", name="Preview").click()
    sends(alice, "240", "As before")

    latchkey.tells("Ada rejects it, which needs a reason")
    ada.goto("/admin/requests")
    ada.get_by_role("row", name=re.compile("pending", re.I)).get_by_role("link").first.click()
    ada.get_by_role("button", name="Reject").click()
    expect(ada.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    ada.get_by_label("Reason").fill("90 is what we can pay for")
    ada.get_by_role("button", name="Reject").click()
    expect(ada.get_by_role("status")).to_be_visible()
    alice.goto("/requests")
    rejected = alice.get_by_role("row", name=re.compile("rejected"))
    expect(rejected).to_contain_text("90 is what we can pay for")
    assert limit() == 90
    latchkey.tells("Alice asks for guardrails, and Ada tries them before she decides")
    bob = latchkey.app("Trial Bot")
    latchkey.grant(bob, settings_request={"mode": "everyone"})
    wanted = {"guardrails": {"rules": [{"category": "pii", "action": "block"}]}}
    mine = latchkey.acts_as(requester)
    asked = mine.post(f"/me/apps/{bob['id']}/change-requests", {"kind": "update_config", "edit": wanted, "reason": "safety"})
    ada.goto(f"/admin/requests/{asked['id']}")
    ada.get_by_label("Duration").fill("0")
    ada.get_by_role("button", name="Start trial").click()
    expect(ada.get_by_label("Duration")).to_have_attribute("aria-invalid", "true")
    ada.get_by_label("Duration").fill("2")
    ada.get_by_role("button", name="Start trial").click()
    expect(ada.get_by_role("main")).to_contain_text("Would have done nothing in 0 requests")

    latchkey.tells("a request passes, and the trial says what would have become of it")
    message = {"role": "user", "content": "write to kim.lee@example.com"}

    def is_tried():
        trial = latchkey.api.get(f"/change-requests/{asked['id']}")["trial"]
        if trial["would_block"]:
            return True
        latchkey.client(bob["key"]["value"]).chat.completions.create(model="gpt-4o-mini", messages=[message])
        return False

    latchkey.until("a request to be tried", is_tried)
    ada.reload()
    expect(ada.get_by_role("main")).to_contain_text(re.compile(r"Would have blocked [\d,]+ of [\d,]+ requests?"))
    expect(ada.get_by_role("row", name=re.compile("would block")).first).to_contain_text("k••••@example.com")
    ada.get_by_role("link", name="All findings of the trial").click()
    expect(ada.get_by_role("row", name=re.compile("would block")).first).to_be_visible()
    ada.go_back()
    ada.get_by_role("button", name="End trial").click()
    expect(ada.get_by_role("main")).to_contain_text("an admin ended it")
    ada.get_by_role("button", name="Approve and apply").click()
    expect(ada.get_by_role("status")).to_contain_text("Approved")
    latchkey.until("the guardrails to act", lambda: refused(latchkey, bob, message))
print("{}")
