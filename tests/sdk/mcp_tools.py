"""A session with an MCP server by the official SDK: lists the tools page by page, and calls one where that is asked;
prints what came of it."""

import asyncio
import json
import os

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client


async def main() -> None:
    headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    said = {"tools": [], "pages": []}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(os.environ["MCP_URL"], http_client=http)
        async with Client(transport, mode=os.environ.get("MCP_MODE", "auto")) as client:
            cursor = None
            while os.environ.get("LIST", "1") == "1":
                page = await client.list_tools(cursor=cursor)
                said["pages"].append(len(page.tools))
                said["tools"] += [tool.name for tool in page.tools]
                said["descriptions"] = said.get("descriptions", []) + [tool.description for tool in page.tools]
                cursor = page.next_cursor
                if not cursor:
                    break
            if tool := os.environ.get("TOOL"):
                try:
                    result = await client.call_tool(tool, json.loads(os.environ.get("ARGUMENTS", "{}")))
                    said["content"] = [part.text for part in result.content if part.type == "text"]
                except MCPError as error:
                    said["error"] = {"message": error.error.message, "data": error.error.data}
    print(json.dumps(said))


asyncio.run(main())
