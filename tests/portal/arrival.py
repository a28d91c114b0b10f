"""Somebody is invited, chooses a password, leaves, and comes back to the page that they wanted."""

from playwright.sync_api import expect

from portal import PASSWORD, Person, sign_in, story

with story() as latchkey:
    latchkey.tells("the owner invites Ada")
    ada = latchkey.api.post("/users", {"email": "ada@acme.com", "name": "Ada", "role": "admin"})
    link = latchkey.api.post(f"/users/{ada['id']}/invite")["link"]

    latchkey.tells("she follows the link, and its secret does not stay in the address")
    page = latchkey.stranger()
    page.goto(link)
    expect(page).to_have_url("/invitation")
    page.get_by_label("New password").fill("short")
    page.get_by_role("button", name="Set password and sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_role("button", name="Set password and sign in").click()
    expect(page).to_have_url("/admin")

    latchkey.tells("she signs out, and going back shows her nothing")
    page.goto("/admin/groups")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    latchkey.tells("a link leads her through the sign-in to what it is about")
    page.goto("/admin/groups?search=engineering")
    expect(page).to_have_url("/sign-in?return_to=%2Fadmin%2Fgroups%3Fsearch%3Dengineering")
    page.get_by_label("Email address").fill("ada@acme.com")
    page.get_by_label("Password").fill("not this one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    sign_in(page, Person(ada["id"], "Ada", "ada@acme.com"))
    expect(page).to_have_url("/admin/groups?search=engineering")

    latchkey.tells("a link that leads elsewhere does not")
    page.get_by_role("button", name="Sign out").click()
    page.goto("/sign-in?return_to=https://evil.example/")
    sign_in(page, Person(ada["id"], "Ada", "ada@acme.com"))
    expect(page).to_have_url("/admin")

    latchkey.tells("somebody else has never been here")
    stranger = latchkey.stranger()
    stranger.goto(link)
    stranger.get_by_label("New password").fill(PASSWORD)
    stranger.get_by_role("button", name="Set password and sign in").click()
    expect(stranger.get_by_role("alert")).to_be_visible()
print("{}")
