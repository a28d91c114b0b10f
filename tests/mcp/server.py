"""An MCP server made with the official SDK, whose tools tell how they were called. Prints its URL."""

import socket

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("tell")


@server.tool()
def headers(ctx: Context) -> dict[str, str]:
    """The headers of the request that calls it."""
    return dict(ctx.request_context.request.headers)


@server.tool()
def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


@server.tool()
def drop_table(name: str) -> str:
    """What only few should be able to call."""
    return f"dropped {name}"


@server.tool(name="recherche_données")
def search(texte: str) -> str:
    """A tool whose name does not fit into a header as it is."""
    return f"trouvé: {texte}"


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error")).run(sockets=[listener])
