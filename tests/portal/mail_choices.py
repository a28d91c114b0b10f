"""An admin sees that email is set up, and sends a test; a user chooses which of it they get."""

from playwright.sync_api import expect

from portal import story

with story() as latchkey:
    latchkey.tells("Ada looks how email is doing, and sends a test to herself")
    ada = latchkey.at_home(latchkey.person("Ada", "admin"))
    ada.get_by_role("link", name="Webhooks").click()
    section = ada.locator("#email")
    expect(section).to_contain_text("Latchkey <latchkey@acme.com>")
    expect(section).to_contain_text("never")
    section.get_by_role("button", name="Send test email").click()
    expect(ada.get_by_role("status")).to_contain_text("Test email queued")
    latchkey.until("the test", lambda: ada.reload() and "never" not in section.inner_text())
    expect(section).not_to_contain_text("Last failure")

    latchkey.tells("Bob chooses what comes once a day, and what never")
    bob = latchkey.at_home(latchkey.person("Bob"))
    bob.goto("/account#email")
    section = bob.locator("#email")
    expect(section).to_contain_text("Sent to bob@acme.com")
    expect(section.get_by_label("Change requests to decide")).to_have_count(0)
    section.get_by_label("Budgets").select_option("Daily digest")
    section.get_by_label("Expiring keys").select_option("Never")
    section.get_by_role("button", name="Save").click()
    expect(bob.get_by_role("status")).to_contain_text("Saved")
    bob.reload()
    expect(section.get_by_label("Budgets")).to_have_value("daily")
    expect(section.get_by_label("Expiring keys")).to_have_value("off")
    expect(section.get_by_label("Decisions on my change requests")).to_have_value("at_once")

    latchkey.tells("Ada, who decides, has more to choose")
    ada.goto("/account")
    expect(ada.locator("#email").get_by_label("Change requests to decide")).to_have_value("at_once")
print("{}")
