"""A session with an MCP server by the official SDK: lists the tools and calls one; prints what came of it."""

import asyncio
import json
import os

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client


async def main() -> None:
    headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    said = {}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(os.environ["MCP_URL"], http_client=http)
        async with Client(transport, mode=os.environ.get("MCP_MODE", "auto")) as client:
            said["version"] = client.protocol_version
            said["tools"] = sorted(tool.name for tool in (await client.list_tools()).tools)
            try:
                result = await client.call_tool(os.environ["TOOL"], json.loads(os.environ.get("ARGUMENTS", "{}")))
                said["content"] = [part.text for part in result.content if part.type == "text"]
                said["is_error"] = result.is_error
            except MCPError as error:
                said["error"] = {"code": error.error.code, "message": error.error.message, "data": error.error.data}
    print(json.dumps(said))


asyncio.run(main())
