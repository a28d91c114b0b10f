"""Grace, an owner, adds Bob, who comes in by his link; she changes his role, ends his sessions, and lets him go."""

import re

from playwright.sync_api import expect

from portal import PASSWORD, Person, story

with story() as latchkey:
    grace = latchkey.at_home(latchkey.person("Grace", "owner"))

    latchkey.tells("Grace adds Bob, and gets a link for him")
    grace.get_by_role("link", name="Users", exact=True).click()
    grace.get_by_role("link", name="Create user").click()
    grace.get_by_label("Email address").fill("bob@acme.com")
    grace.get_by_label("Name").fill("Bob")
    grace.get_by_role("button", name="Create user").click()
    link = grace.locator("#value").inner_text()
    grace.get_by_role("link", name="Done").click()
    expect(grace.get_by_role("main")).to_contain_text("invited")
    bob = Person(re.search("[0-9a-f-]{36}", grace.url)[0], "Bob", "bob@acme.com")

    latchkey.tells("Bob comes in by it; he sees none of the console")
    his = latchkey.stranger()
    his.goto(link)
    his.get_by_label("New password").fill(PASSWORD)
    his.get_by_role("button", name="Set password and sign in").click()
    expect(his.get_by_role("heading", name="No apps yet")).to_be_visible()
    expect(his.get_by_role("link", name="API keys")).to_have_count(0)
    his.goto("/admin/users")
    expect(his.get_by_role("heading", name="Not allowed")).to_be_visible()

    latchkey.tells("Grace makes him an auditor: he sees, and changes nothing")
    grace.reload()
    expect(grace.get_by_role("main")).to_contain_text("active")
    grace.get_by_label("Role").select_option("auditor")
    grace.get_by_role("button", name="Save").click()
    expect(grace.get_by_role("status")).to_be_visible()
    his.goto("/admin/users")
    expect(his.get_by_role("link", name="Grace")).to_be_visible()
    expect(his.get_by_role("link", name="Create user")).to_have_count(0)

    latchkey.tells("Bob changes his password, which needs the one that he has")
    his.get_by_role("banner").get_by_role("link", name="Bob").click()
    his.get_by_label("Current password").fill("not this one")
    his.get_by_label("New password").fill("another long password")
    his.get_by_role("button", name="Change password").click()
    expect(his.get_by_role("alert")).to_be_visible()
    his.get_by_label("Current password").fill(PASSWORD)
    his.get_by_label("New password").fill("another long password")
    his.get_by_role("button", name="Change password").click()
    expect(his.get_by_role("status")).to_contain_text("Password changed")

    latchkey.tells("Grace ends his sessions, and he is asked to sign in")
    grace.reload()
    grace.get_by_role("button", name="Sign out everywhere").click()
    expect(grace.get_by_role("status")).to_be_visible()
    his.goto("/admin/users")
    expect(his.get_by_role("heading", name="Sign in")).to_be_visible()

    latchkey.tells("she deactivates him, and he cannot come back")
    grace.get_by_text("Deactivate…").click()
    grace.get_by_role("button", name="Deactivate Bob").click()
    expect(grace.get_by_role("main")).to_contain_text("deactivated")
    his.get_by_label("Email address").fill("bob@acme.com")
    his.get_by_label("Password").fill("another long password")
    his.get_by_role("button", name="Sign in", exact=True).click()
    expect(his.get_by_role("alert")).to_be_visible()

    latchkey.tells("all of it is in the audit log")
    grace.get_by_role("link", name="Audit log").click()
    expect(grace.get_by_role("row", name=re.compile("user.deactivated")).first).to_contain_text("bob@acme.com")
print("{}")
