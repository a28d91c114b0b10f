"""Access comes and goes: Ada grants an app to a group, suspends it with a lost membership, and revokes a key."""

import re

from playwright.sync_api import expect

from portal import story

with story() as latchkey:
    alice = latchkey.person("Alice")
    app = latchkey.app("Support Bot", mode="named")
    group = latchkey.api.post("/groups", {"name": "engineering"})
    latchkey.api.put(f"/groups/{group['id']}/members/{alice.id}")
    latchkey.grant(app, viewer={"mode": "specific", "allow": {"groups": [group["id"]]}})
    latchkey.api.patch(f"/apps/{app['id']}/self-service", {"suspend_keys_on_lost_access": True})
    key = latchkey.acts_as(alice).post(f"/me/apps/{app['id']}/keys", {"name": "laptop"})
    latchkey.until_answered(key["value"], 200)
    hers = latchkey.at_home(alice)
    expect(hers.get_by_role("link", name="Support Bot")).to_be_visible()
    ada = latchkey.at_home(latchkey.person("Ada", "admin"))

    latchkey.tells("Ada takes Alice out of the group: her key stops, and the app is gone")
    ada.get_by_role("link", name="Smart groups").click()
    ada.get_by_role("link", name="engineering").click()
    ada.get_by_role("button", name="Remove Alice").click()
    expect(ada.get_by_role("status")).to_contain_text("Removed")
    assert latchkey.refusal(key["value"]) == (401, "key_suspended")
    hers.reload()
    expect(hers.get_by_role("heading", name="No apps yet")).to_be_visible()
    hers.goto(f"/apps/{app['id']}")
    expect(hers.get_by_role("heading", name="Not found")).to_be_visible()

    latchkey.tells("Ada puts her back: both are there again")
    ada.get_by_label("Add people").fill("alice@acme.com")
    ada.get_by_role("button", name="Add").click()
    expect(ada.get_by_role("link", name="Alice")).to_be_visible()
    latchkey.until_answered(key["value"], 200)
    hers.goto("/apps")
    expect(hers.get_by_role("link", name="Support Bot")).to_be_visible()

    latchkey.tells("Ada revokes the key, and sees which gateways have applied it")
    ada.goto(f"/admin/apps/{app['id']}/keys")
    ada.get_by_role("link", name="laptop", exact=True).click()
    ada.get_by_text("Revoke…").click()
    ada.get_by_role("button", name="Revoke laptop").click()
    expect(ada.get_by_role("status")).to_contain_text("1 of 1 gateway")
    assert latchkey.refusal(key["value"]) == (401, "key_revoked")
    hers.goto(f"/apps/{app['id']}")
    expect(hers.get_by_role("row", name=re.compile("laptop"))).to_contain_text("revoked")
print("{}")
