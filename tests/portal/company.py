"""Alice comes with her company account: its groups open an app to her, and close it again."""

from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from portal import PORTAL, story


def sign_in(page: Page, **claims: str):
    """Goes through the provider's pages as somebody of whom it claims this."""
    page.get_by_role("link", name="Sign in with your company account").click()
    page.get_by_placeholder("Enter any login").fill(urlencode({"email_verified": "true"} | claims))
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def sign_out(page: Page):
    """Ends the session here, and at the provider, whose session Latchkey leaves alone."""
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    page.context.clear_cookies()


with story() as latchkey:
    app = latchkey.app("Support Bot", mode="named")
    group = latchkey.api.post("/groups", {"name": "Engineering", "claim": "eng"})
    latchkey.grant(app, viewer={"mode": "specific", "allow": {"groups": [group["id"]]}})
    page = latchkey.stranger()
    # The provider's pages ask for a font.
    page.route("**/fonts.googleapis.com/**", lambda route: route.fulfill(body="", content_type="text/css"))
    alice = {"sub": "1", "email": "alice@acme.com", "name": "Alice"}

    latchkey.tells("Alice follows a link to the app, and signs in at the provider")
    page.goto(f"/apps/{app['id']}")
    sign_in(page, **alice, groups="eng,all")
    expect(page).to_have_url(f"{PORTAL}/apps/{app['id']}")
    expect(page.get_by_role("heading", name="Support Bot")).to_be_visible()
    page.goto("/account")
    expect(page.get_by_role("main")).to_contain_text("alice@acme.com")

    latchkey.tells("she signs out, and comes back without the group")
    sign_out(page)
    page.goto("/sign-in")
    sign_in(page, **alice, groups="all")
    expect(page.get_by_role("heading", name="No apps yet")).to_be_visible()

    latchkey.tells("she changes her mind at the provider, and is told")
    sign_out(page)
    page.goto("/sign-in")
    page.get_by_role("link", name="Sign in with your company account").click()
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("main")).to_contain_text("did not sign you in")
    page.get_by_role("link", name="Go to the sign-in page").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    latchkey.tells("an address that the provider has not verified opens nothing")
    page.goto("/sign-in")
    sign_in(page, sub="2", email="ada@acme.com", email_verified="false", name="Ada")
    expect(page.get_by_role("main")).to_contain_text("verified")
print("{}")
