"""Ada tries a key in the playground: it goes through the gateway like any client, streamed, and is recorded."""

from playwright.sync_api import expect

from portal import story

with story() as latchkey:
    app = latchkey.app("Data Platform", keep_key_values=True)
    limited = latchkey.app("Translation", limits={"requests_per_minute": 1}, keep_key_values=True)
    latchkey.until_answered(limited["key"]["value"], 200)
    ada = latchkey.person("Ada", "admin")

    for scripts in [True, False]:
        page = latchkey.at_home(ada, java_script_enabled=scripts)
        latchkey.tells(f"Ada picks an app and asks, {'with' if scripts else 'without'} scripts")
        page.get_by_role("link", name="Playground").click()
        page.get_by_label("App").select_option(label="Data Platform")
        page.get_by_label("Model").fill("gpt-4o-mini")
        page.get_by_label("Message").fill("hello")
        page.get_by_role("button", name="Send").click()
        answer = page.locator("#outcome")
        expect(answer).to_contain_text("You said: hello")
        expect(answer.get_by_role("heading", name="Record")).to_be_visible()
        expect(answer).to_contain_text("(reported)")

        latchkey.tells("an app whose limit is spent is refused, and she is told why")
        page.goto("/admin/playground")
        page.get_by_label("App").select_option(label="Translation")
        page.get_by_label("Model").fill("gpt-4o-mini")
        page.get_by_label("Message").fill("hello")
        page.get_by_role("button", name="Send").click()
        expect(answer).to_contain_text("429")
        expect(answer).to_contain_text("requests_per_minute")
print("{}")
