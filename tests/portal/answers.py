"""What forms are answered with, secrets and refusals and previews, is as every page must be."""

from playwright.sync_api import Page, expect

from inspection import prepare, standing_faults
from portal import Person, story

with story() as latchkey:
    wrong: list[str] = []

    def at_home(person: Person) -> Page:
        page = latchkey.at_home(person)
        prepare(page)
        return page

    def look(page: Page, what: str, heading: str):
        latchkey.tells(f"they look at {what}")
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
        wrong.extend(f"{what}: {fault}" for fault in standing_faults(page))

    named = latchkey.app("Support Bot", mode="named", limits={"requests_per_minute": 60})
    shared = latchkey.app("Data Platform", keep_key_values=True)
    for app in [named, shared]:
        latchkey.grant(app, viewer={"mode": "everyone"}, settings_request={"mode": "everyone"})
    latchkey.until_answered(shared["key"]["value"], 200)
    grace, alice = at_home(latchkey.person("Grace", "owner")), at_home(latchkey.person("Alice"))

    grace.goto("/admin/apps/new")
    grace.get_by_label("Key name").fill("x" * 101)
    grace.get_by_role("button", name="Create").click()
    look(grace, "a refused app", "Create API key")
    grace.get_by_label("Key name").fill("Translation")
    grace.get_by_role("button", name="Create").click()
    look(grace, "a new app's key", "API key created")
    grace.goto(f"/admin/apps/{shared['id']}")
    grace.get_by_text("Rotate…").click()
    grace.get_by_role("button", name="Rotate").click()
    look(grace, "a rotated key", "Secret rotated")
    grace.goto(f"/admin/apps/{shared['id']}")
    grace.get_by_role("button", name="Show key value").click()
    look(grace, "a kept value", "App key")
    grace.goto(f"/admin/apps/{named['id']}/keys/new")
    grace.get_by_label("User").fill("nobody@acme.com")
    grace.get_by_label("Key name").fill("laptop")
    grace.get_by_role("button", name="Create").click()
    look(grace, "a refused named key", "Create named key")
    grace.get_by_label("User").fill("alice@acme.com")
    grace.get_by_role("button", name="Create").click()
    look(grace, "a named key", "Named key created")
    grace.goto("/admin/users/new")
    grace.get_by_label("Email address").fill("bob@acme.com")
    grace.get_by_label("Name").fill("Bob")
    grace.get_by_role("button", name="Create user").click()
    look(grace, "an invitation", "Invitation for Bob")
    grace.goto("/admin/tokens")
    grace.get_by_label("Name").fill("terraform")
    grace.get_by_role("button", name="Create token").click()
    look(grace, "a token", "terraform")
    grace.goto("/admin/playground")
    grace.get_by_label("App").select_option(label="Data Platform")
    grace.get_by_label("Model").fill("gpt-4o-mini")
    grace.get_by_role("button", name="Send").click()
    expect(grace.locator("#outcome").get_by_role("heading", name="Record")).to_be_visible()
    look(grace, "an answer in the playground", "Playground")

    alice.goto(f"/apps/{named['id']}/keys/new")
    alice.get_by_label("Name").fill("Alice local dev")
    alice.get_by_role("button", name="Create key").click()
    look(alice, "a key of one's own", "Alice local dev created")
    alice.get_by_role("link", name="Done").click()
    alice.get_by_role("button", name="Rotate").click()
    look(alice, "a rotated key of one's own", "Alice local dev rotated")
    form = f"/apps/{shared['id']}/request/jwt_auth_settings"
    alice.goto(form)
    look(alice, "the form for JWTs", "JWT")
    alice.get_by_label("Keys that verify JWTs").select_option(index=1)
    alice.get_by_label("JWK set URL").fill("no address")
    alice.get_by_role("button", name="Preview").click()
    look(alice, "a refused wish", "JWT")
    alice.goto(f"/apps/{shared['id']}/request/update_config")
    alice.locator("[name='limits.requests_per_minute']").fill("120")
    alice.get_by_role("button", name="Preview").click()
    look(alice, "a preview", "Preview")
    assert not wrong, f"{len(wrong)} faults:\n" + "\n".join(sorted(set(wrong)))
print("{}")
