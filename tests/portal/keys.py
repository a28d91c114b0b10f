"""Alice and her keys: made, copied, used, renamed, rotated, revoked. SCRIPTS=off: in a browser without scripts."""

import os
import re
import subprocess
import sys

from playwright.sync_api import expect

from portal import story

SCRIPTS = os.environ.get("SCRIPTS", "on") == "on"

with story() as latchkey:
    alice = latchkey.person("Alice")
    app = latchkey.app("Support Bot", mode="named")
    latchkey.grant(app, viewer={"mode": "everyone"})
    page = latchkey.at_home(alice, java_script_enabled=SCRIPTS)

    latchkey.tells("Alice creates a key")
    page.get_by_role("link", name="Support Bot").click()
    page.get_by_role("link", name="Create key").click()
    page.get_by_role("button", name="Create key").click()
    expect(page).to_have_url(re.compile("/keys/new$"))
    page.get_by_label("Name").fill("Alice local dev")
    page.get_by_label("Lifetime").select_option(label="90 days")
    page.get_by_role("button", name="Create key").click()
    first = page.locator("#value").inner_text()
    assert first.startswith("sk-quilr-") and ":ss1." in first, first
    assert first not in page.url

    latchkey.tells("she copies it" if SCRIPTS else "there is no button to copy it")
    copy = page.get_by_role("button", name="Copy the key's value")
    if SCRIPTS:
        copy.click()
        assert page.evaluate("navigator.clipboard.readText()") == first
    else:
        expect(copy).to_be_hidden()

    latchkey.tells("she pastes what the page shows for Python and curl: both work as they are")
    latchkey.until_answered(first, 200)
    for language, command in {"python": [sys.executable, "-c"], "curl": ["bash", "-c"]}.items():
        snippet = page.locator(f"#snippet-{language}").text_content()
        ran = subprocess.run([*command, snippet], capture_output=True, text=True, check=True)
        assert "You said: Hello!" in ran.stdout, ran.stdout

    latchkey.tells("the list says when it was used")
    page.get_by_role("link", name="Done").click()
    latchkey.until_recorded(app, 3)
    page.goto(f"/apps/{app['id']}")
    expect(page.get_by_role("row", name=re.compile("Alice local dev"))).to_contain_text("active")
    page.get_by_role("link", name="Alice local dev").click()
    expect(page.get_by_role("main")).not_to_contain_text(first)

    latchkey.tells("she renames it, and a name that is no name is kept and marked")
    page.get_by_label("Name").fill("x" * 101)
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_label("Name")).to_have_value("x" * 101)
    expect(page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Name").fill("Alice at home")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", name="Alice at home")).to_be_visible()

    latchkey.tells("she rotates it: the old value stops at once")
    page.get_by_label("Keep the old value working for").select_option(label="Stop right away")
    page.get_by_role("button", name="Rotate").click()
    second = page.locator("#value").inner_text()
    latchkey.until_answered(second, 200)
    assert latchkey.refusal(first) == (401, "key_rotated")

    latchkey.tells("she revokes it, after a question: no gateway accepts it any more")
    page.get_by_role("link", name="Done").click()
    page.get_by_text("Revoke this key…").click()
    page.get_by_role("button", name="Revoke Alice at home").click()
    expect(page.get_by_role("status")).to_contain_text("1 of 1 gateway")
    assert latchkey.refusal(second) == (401, "key_revoked")

    latchkey.tells("it stays in the list")
    expect(page.get_by_role("row", name=re.compile("Alice at home"))).to_contain_text("revoked")
print("{}")
