"""The picture that the product was born from: an admin grants access, a user signs in and makes a key, and calls."""

import re

from playwright.sync_api import expect

from portal import story

with story() as latchkey:
    alice = latchkey.person("Alice")
    ada = latchkey.at_home(latchkey.person("Ada", "admin"))

    latchkey.tells("Ada makes the group engineering, with Alice in it")
    ada.get_by_role("link", name="Smart groups").click()
    ada.get_by_role("link", name="Create group").click()
    ada.get_by_label("Name").fill("engineering")
    ada.get_by_role("button", name="Create group").click()
    ada.get_by_label("Add people").fill("alice@acme.com")
    ada.get_by_role("button", name="Add").click()
    expect(ada.get_by_role("link", name="Alice")).to_be_visible()

    latchkey.tells("she creates the app Support Bot, with named keys")
    ada.get_by_role("link", name="API keys").click()
    ada.get_by_role("link", name="Create API key").first.click()
    ada.get_by_label("Key name").fill("Support Bot")
    ada.get_by_label("Named keys", exact=True).check()
    ada.get_by_role("button", name="Create").click()
    expect(ada.locator("#value")).to_contain_text("sk-quilr-")
    expect(ada.get_by_role("main")).to_contain_text("1 of 1 gateway")

    latchkey.tells("she lets engineering view it")
    ada.get_by_role("link", name="Give people access").click()
    viewer = ada.get_by_role("group", name="Viewer access")
    viewer.get_by_label("Who").select_option("specific")
    viewer.get_by_text("Viewer access: people and smart groups").click()
    viewer.get_by_label("Allowed smart groups").fill("engineering")
    ada.get_by_role("button", name="Save", exact=True).click()
    expect(ada.get_by_role("status")).to_be_visible()

    latchkey.tells("Alice signs in, and sees Support Bot and nothing else")
    page = latchkey.at_home(alice)
    expect(page.get_by_role("article")).to_have_count(1)
    page.get_by_role("link", name="Support Bot").click()

    latchkey.tells("she creates the key Alice local dev")
    page.get_by_role("link", name="Create key").click()
    page.get_by_label("Name").fill("Alice local dev")
    page.get_by_role("button", name="Create key").click()
    key = page.locator("#value").inner_text()
    app = latchkey.api.get("/apps", search="Support Bot")["items"][0]

    latchkey.tells("she calls the gateway with the official SDK, and sees the call in Logs")
    latchkey.until_answered(key, 200)
    latchkey.until_recorded(app, 1)
    page.get_by_role("link", name="Done").click()
    page.goto(f"/apps/{app['id']}")
    page.get_by_role("link", name="Logs").click()
    call = page.get_by_role("row", name=re.compile("gpt-4o-mini"))
    expect(call).to_contain_text("200")
    expect(call).to_contain_text("Alice local dev")

    latchkey.tells("the app key alone is refused, as it is not hers")
    parent = key.partition(":")[0]
    assert latchkey.refusal(parent)[0] == 401, latchkey.refusal(parent)
print("{}")
