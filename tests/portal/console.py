"""An admin runs an app: finds it, changes it, looks at what changed, takes it back, rotates, stops and revokes it."""

import re

from playwright.sync_api import expect

from portal import story

with story() as latchkey:
    others = [latchkey.app(f"Other {number}") for number in range(3)]
    app = latchkey.app("Data Platform", limits={"requests_per_minute": 100})
    key = app["key"]["value"]
    latchkey.until_answered(key, 200)
    page = latchkey.at_home(latchkey.person("Ada", "admin"))

    latchkey.tells("Ada searches the list, and sees how much of the limit is used")
    page.get_by_role("link", name="API keys").click()
    expect(page.get_by_role("row")).to_have_count(5)
    page.get_by_label("Name").fill("platform")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("row", name=re.compile("Data Platform"))).to_contain_text("active")
    expect(page.get_by_role("meter")).to_be_visible()
    page.get_by_label("Status").select_option("revoked")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("heading", name="No API keys match")).to_be_visible()
    page.get_by_role("link", name="Show all API keys").click()
    page.get_by_role("link", name="Data Platform", exact=True).click()

    latchkey.tells("she types nonsense, which is kept and marked, and changes nothing")
    page.get_by_role("textbox", name="Requests per minute").first.fill("a few")
    page.get_by_role("button", name="Save settings").click()
    wrong = page.locator("[name='limits.requests_per_minute']")
    expect(wrong).to_have_value("a few")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_contain_text("limits.requests_per_minute")
    expect(wrong).to_be_focused()

    latchkey.tells("she mends it: it is a version, with what differs")
    wrong.fill("250")
    page.get_by_role("button", name="Save settings").click()
    expect(page.get_by_role("status")).to_be_visible()
    page.get_by_role("link", name="Audit", exact=True).click()
    page.get_by_role("link", name="v2").click()
    change = page.get_by_role("row", name=re.compile("limits.requests_per_minute"))
    expect(change).to_contain_text("100")
    expect(change).to_contain_text("250")

    latchkey.tells("she rolls back")
    page.get_by_role("link", name="Audit", exact=True).click()
    page.get_by_role("link", name="v1").click()
    page.get_by_text("Roll back to v1…").click()
    page.get_by_role("button", name="Roll back to v1").click()
    expect(page.get_by_role("status")).to_be_visible()
    assert latchkey.api.get(f"/apps/{app['id']}")["limits"]["requests_per_minute"] == 100

    latchkey.tells("she looks at its logs and its usage by model, and stays within its tabs")
    latchkey.until_recorded(app, 1)
    page.goto(f"/admin/apps/{app['id']}")
    tabs = page.get_by_role("navigation", name="Data Platform")
    tabs.get_by_role("link", name="Logs").click()
    expect(page.get_by_role("heading", name="Data Platform")).to_be_visible()
    tabs.get_by_role("link", name="Usage").click()
    page.get_by_role("navigation", name="Group by").get_by_role("link", name="Model", exact=True).click()
    expect(page).to_have_url(re.compile(f"/admin/apps/{app['id']}/usage"))
    expect(tabs.get_by_role("link", name="Usage")).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("figure").first).to_contain_text("per day")
    expect(page.get_by_role("figure").first.get_by_role("listitem").first).to_contain_text("request")

    latchkey.tells("she leaves with something typed, and is asked first")
    page.goto(f"/admin/apps/{app['id']}")
    page.get_by_label("Key name").press_sequentially("!")
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.get_by_role("link", name="API keys").first.click()
    expect(page.get_by_role("heading", name="API keys")).to_be_visible()
    assert asked == ["beforeunload"], asked

    latchkey.tells("she switches it off and on")
    page.goto(f"/admin/apps/{app['id']}")
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_role("status")).to_contain_text("1 of 1 gateway")
    assert latchkey.refusal(key) == (401, "app_inactive")
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("status")).to_contain_text("1 of 1 gateway")
    assert latchkey.refusal(key)[0] == 200

    latchkey.tells("she rotates it with an hour of grace: both secrets work")
    page.get_by_text("Rotate…").click()
    page.get_by_label("Old secret stops working").select_option(label="after 1 hour")
    page.get_by_role("button", name="Rotate", exact=True).click()
    renewed = page.locator("#value").inner_text()
    assert [latchkey.refusal(value)[0] for value in [key, renewed]] == [200, 200]
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("main")).to_contain_text("still works, and stops in")

    latchkey.tells("she revokes it for good")
    page.get_by_text("Revoke…").click()
    page.get_by_role("button", name="Revoke Data Platform").click()
    expect(page.get_by_role("status")).to_contain_text("1 of 1 gateway")
    assert [latchkey.refusal(value) for value in [key, renewed]] == [(401, "key_revoked")] * 2
print("{}")
