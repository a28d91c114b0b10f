"""An MCP server made with the official SDK, whose tools are what it is told: `PUT /tools` has a list of them. It lists
two on a page, and a called tool repeats its arguments. Prints its URL."""

import json
import os
import socket

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from starlette.responses import Response
from starlette.routing import Route

PAGE = 2
tools: list[dict] = []


async def list_tools(_context, params) -> types.ListToolsResult:
    begin = int((params and params.cursor) or 0)
    page = {"tools": tools[begin : begin + PAGE]}
    if begin + PAGE < len(tools):
        page["nextCursor"] = str(begin + PAGE)
    return types.ListToolsResult.model_validate(page)


async def call_tool(_context, params) -> types.CallToolResult:
    text = json.dumps(params.arguments, sort_keys=True)
    return types.CallToolResult.model_validate({"content": [{"type": "text", "text": text}]})


async def set_tools(request) -> Response:
    tools[:] = await request.json()
    return Response(status_code=204)


if __name__ == "__main__":
    server = Server("changing", on_list_tools=list_tools, on_call_tool=call_tool)
    app = server.streamable_http_app(json_response=os.environ.get("MCP_JSON") == "1")
    app.router.routes.append(Route("/tools", set_tools, methods=["PUT"]))
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
