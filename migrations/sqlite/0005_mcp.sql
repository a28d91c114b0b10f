-- MCP servers, which clients reach through the gateway under /mcp/<name>.
CREATE TABLE mcp_servers (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    sealed_credential BLOB,
    -- An existing Envoy cluster's name; null where Latchkey runs one.
    cluster TEXT,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
