"""A form that is sent twice creates once, and a value that was shown is not shown again."""

from playwright.sync_api import Error, Page, expect

from portal import story

with story() as latchkey:
    alice = latchkey.person("Alice")
    app = latchkey.app("Support Bot", mode="named")
    latchkey.grant(app, viewer={"mode": "everyone"})
    mine = latchkey.acts_as(alice)

    def keys() -> list[str]:
        return [key["name"] for key in mine.get(f"/me/apps/{app['id']}/keys")["items"]]

    def ask(page: Page, name: str):
        page.goto(f"/apps/{app['id']}/keys/new")
        page.get_by_label("Name").fill(name)

    def goes_back(page: Page):
        try:
            page.go_back()
        except Error as error:
            # The browser has kept nothing of an answer to a form, and asks whether to send it again.
            assert "ERR_CACHE_MISS" in error.message, error

    for scripts in [True, False]:
        name = "with scripts" if scripts else "without scripts"
        latchkey.tells(f"Alice presses the button twice, {name}")
        page = latchkey.at_home(alice, java_script_enabled=scripts)
        ask(page, name)
        page.get_by_role("button", name="Create key").dblclick()
        expect(page.locator("#value")).to_contain_text("sk-quilr-")
        assert keys().count(name) == 1, keys()

        latchkey.tells(f"she loads the answer again, {name}")
        value = page.locator("#value").inner_text()
        page.reload()
        expect(page.locator("#value")).to_have_text(value)
        assert keys().count(name) == 1, keys()

        latchkey.tells(f"she signs out, and somebody else goes back, {name}")
        page.get_by_role("link", name="Done").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        for _ in range(3):
            goes_back(page)
            expect(page.locator("body")).not_to_contain_text(value)
print("{}")
