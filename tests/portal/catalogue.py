"""An admin adds a provider, its model and a price, and a token; and sees the gateway that has them."""

import re

import httpx
from playwright.sync_api import expect

from portal import PORTAL, Api, story

with story() as latchkey:
    page = latchkey.at_home(latchkey.person("Ada", "admin"))
    grace = latchkey.at_home(latchkey.person("Grace", "owner"))

    latchkey.tells("Ada adds a provider")
    page.get_by_role("link", name="Providers").click()
    page.get_by_role("link", name="Create provider").click()
    page.get_by_label("Name").fill("Not a name")
    page.get_by_label("Base URL").fill(latchkey.api.get("/providers/sample")["base_url"])
    page.get_by_role("button", name="Create provider").click()
    expect(page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Name").fill("second")
    page.get_by_label("Kind").select_option("openai_compatible")
    page.get_by_label("Credential").fill("sk-sample-provider-credential")
    page.get_by_role("button", name="Create provider").click()
    expect(page.get_by_role("heading", name="second")).to_be_visible()
    expect(page.get_by_role("main")).not_to_contain_text("sk-sample-provider-credential")

    latchkey.tells("she adds a model of it, with a price")
    page.get_by_role("link", name="Create model").click()
    page.get_by_label("Name", exact=True).fill("our-model")
    page.get_by_label("Provider model name").fill("gpt-4o-mini")
    page.locator("[name=priced]").nth(1).check()
    page.get_by_label("Price of input", exact=True).fill("2.50")
    page.get_by_label("Price of output", exact=True).fill("10")
    page.get_by_role("button", name="Create model").click()
    expect(page.get_by_role("heading", name="our-model")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("current"))).to_contain_text("$10.00")

    latchkey.tells("she disables the provider: its model can no longer be called")
    page.get_by_role("link", name="second").click()
    page.get_by_text("Disable…").click()
    page.get_by_role("button", name="Disable second").click()
    expect(page.get_by_role("main")).to_contain_text("disabled")

    latchkey.tells("she sees the gateway, which is in step")
    page.get_by_role("link", name="Gateways", exact=True).click()
    expect(page.get_by_role("row", name=re.compile("gateway-0"))).to_be_visible()

    latchkey.tells("Grace makes a token, which works until she revokes it")
    grace.get_by_role("link", name="API tokens").click()
    grace.get_by_label("Name").fill("terraform")
    grace.get_by_label("Role").select_option("auditor")
    grace.get_by_role("button", name="Create token").click()
    token = grace.locator("#value").inner_text()
    assert Api({"authorization": f"Bearer {token}"}).get("/models")["items"]
    grace.get_by_role("link", name="Done").click()
    expect(grace.get_by_role("main")).not_to_contain_text(token)
    grace.get_by_label("Revoke terraform").click()
    grace.get_by_role("button", name="Revoke terraform").last.click()
    expect(grace.get_by_role("status")).to_be_visible()
    refused = httpx.get(f"{PORTAL}/api/v1/models", headers={"authorization": f"Bearer {token}"})
    assert refused.status_code == 401, refused.text
print("{}")
