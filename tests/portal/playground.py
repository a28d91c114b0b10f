"""Ada tries a key in the playground: it goes through the gateway like any client, streamed, and is recorded."""

from playwright.sync_api import expect

from portal import story

with story() as latchkey:
    app = latchkey.app("Data Platform", keep_key_values=True)
    # A second provider, whose models fail where they are called so.
    sample = latchkey.api.get("/providers/sample")
    second = {"name": "second", "kind": "openai_compatible", "base_url": sample["base_url"]}
    latchkey.api.post("/providers", second | {"credential": "sk-sample-provider-credential"})
    for name, behavior in [("ready", ""), ("busy-true", "+status=503"), ("busy-false", "+status=503")]:
        model = {"name": name, "provider": "second", "upstream_name": f"gpt-4o-mini{behavior}"}
        latchkey.api.post("/models", model)
        targets = [("second", name, 100), ("sample", "gpt-4o-mini", 0)]
        targets = [{"provider": provider, "model": model, "weight": weight} for provider, model, weight in targets]
        latchkey.api.post("/routing-groups", {"name": f"group-{name}", "targets": targets})
    targets = [{"provider": "sample", "model": "gpt-4o-mini", "weight": 100}]
    latchkey.api.post("/routing-groups", {"name": "group-sample", "targets": targets})
    grouped = latchkey.app("Assistant", routing_groups="all", keep_key_values=True)
    for group in ["group-ready", "group-sample"]:
        latchkey.until(f"{group} to answer", lambda: latchkey.refusal(grouped["key"]["value"], group)[0] == 200)
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
        expect(answer.get_by_role("heading", name="Attempts")).to_have_count(0)

        latchkey.tells("she asks a routing group whose first target fails, and sees each attempt")
        page.goto("/admin/playground")
        page.get_by_label("App").select_option(label="Assistant")
        page.get_by_label("Model").fill(f"group-busy-{scripts}".lower())
        page.get_by_label("Message").fill("hello")
        page.get_by_role("button", name="Send").click()
        expect(answer).to_contain_text("You said: hello")
        rows = answer.get_by_role("region", name="Attempts").locator("tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(0)).to_contain_text("second")
        expect(rows.nth(0)).to_contain_text("503")
        expect(rows.nth(0)).to_contain_text("Moved on: The group counts this status as a failure.")
        expect(rows.nth(1)).to_contain_text("sample")
        expect(rows.nth(1)).to_contain_text("Answered")

        latchkey.tells("an app whose limit is spent is refused, and she is told why")
        page.goto("/admin/playground")
        page.get_by_label("App").select_option(label="Translation")
        page.get_by_label("Model").fill("gpt-4o-mini")
        page.get_by_label("Message").fill("hello")
        page.get_by_role("button", name="Send").click()
        expect(answer).to_contain_text("429")
        expect(answer).to_contain_text("requests_per_minute")
print("{}")
