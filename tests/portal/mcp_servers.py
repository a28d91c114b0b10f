"""An admin attaches an MCP server and scopes a key to some of its tools; a user calls them, and sees the calls."""

import asyncio
import os
import re
from concurrent.futures import ThreadPoolExecutor

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from playwright.sync_api import expect

from portal import GATEWAY, story


def session(key: str, tool: str) -> tuple[list[str], str]:
    """The tools that a key sees, and what a call of one comes to."""
    # The browser's own loop runs in this thread.
    with ThreadPoolExecutor() as threads:
        return threads.submit(lambda: asyncio.run(_session(key, tool))).result()


async def _session(key: str, tool: str) -> tuple[list[str], str]:
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}) as http:
        async with Client(streamable_http_client(f"{GATEWAY}/mcp/tools", http_client=http)) as client:
            tools = sorted(tool.name for tool in (await client.list_tools()).tools)
            try:
                result = await client.call_tool(tool, {"a": 1, "b": 2})
                return tools, result.content[0].text
            except MCPError as refused:
                return tools, refused.error.data["code"]


with story() as latchkey:
    ada = latchkey.at_home(latchkey.person("Ada", "admin"))

    latchkey.tells("Ada attaches an MCP server")
    ada.get_by_role("link", name="MCP servers").click()
    ada.get_by_role("link", name="Create MCP server").click()
    ada.get_by_label("Name").fill("Not a name")
    ada.get_by_label("URL").fill(os.environ["MCP_SERVER_URL"])
    ada.get_by_role("button", name="Create MCP server").click()
    expect(ada.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    ada.get_by_label("Name").fill("tools")
    ada.get_by_role("button", name="Create MCP server").click()
    expect(ada.get_by_role("heading", name="tools")).to_be_visible()
    expect(ada.get_by_role("main")).to_contain_text("/mcp/tools")

    latchkey.tells("she creates a key that may call one of its tools")
    ada.get_by_role("link", name="API keys").click()
    ada.get_by_role("link", name="Create API key").first.click()
    ada.get_by_label("Key name").fill("Calculator")
    ada.get_by_role("tab", name="MCP").click()
    expect(ada.get_by_role("tabpanel", name="MCP")).to_contain_text("Available: tools")
    ada.get_by_role("textbox", name="MCP servers and tools").fill("tools/add")
    typed = ada.get_by_role("group", name="MCP servers and tools").get_by_label("Only these", exact=True)
    expect(typed).to_be_checked()
    ada.get_by_role("button", name="Create").click()
    expect(ada.get_by_role("main")).to_contain_text("1 of 1 gateway")
    key = ada.locator("#value").inner_text()
    app = latchkey.api.get("/apps", search="Calculator")["items"][0]

    latchkey.tells("the official SDK sees that tool and calls it, and no other")
    assert session(key, "add") == (["add"], "3")
    assert session(key, "drop_table") == (["add"], "mcp_tool_not_allowed")

    latchkey.tells("she sees the call and the refusal in the logs")
    refused = lambda: latchkey.api.get("/logs", app_id=app["id"], code="mcp_tool_not_allowed")["items"]
    latchkey.until("the record of the refusal", refused)
    ada.goto("/admin/mcp-servers/tools")
    ada.get_by_role("main").get_by_role("link", name="Logs").click()
    expect(ada.get_by_label("Provider")).to_have_value("mcp/tools")
    expect(ada.get_by_role("row", name=re.compile("tools.add"))).to_contain_text("200")
    ada.goto(f"/admin/logs?app_id={app['id']}&code=mcp_tool_not_allowed")
    expect(ada.get_by_role("row", name=re.compile("tools.drop_table"))).to_contain_text("403")

    latchkey.tells("a user who may see the app finds where to call it")
    latchkey.grant(app, viewer={"mode": "everyone"})
    page = latchkey.at_home(latchkey.person("Alice"))
    page.get_by_role("link", name="Calculator").click()
    servers = page.get_by_role("region", name="MCP servers")
    expect(servers).to_contain_text("/mcp/tools")
    expect(servers).to_contain_text("add")

    latchkey.tells("Ada takes the scope away: nothing is left to call")
    ada.goto(f"/admin/apps/{app['id']}")
    ada.get_by_text("Advanced settings").click()
    ada.get_by_text("MCP servers and tools").first.click()
    ada.get_by_role("group", name="MCP servers and tools").get_by_label("None", exact=True).check()
    ada.get_by_role("button", name="Save settings").click()
    expect(ada.get_by_role("status")).to_contain_text("Saved")
    page.reload()
    expect(page.get_by_role("region", name="MCP servers")).to_have_count(0)
print("{}")
