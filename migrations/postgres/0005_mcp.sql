-- MCP servers, which clients reach through the gateway under /mcp/<name>.
CREATE TABLE mcp_servers (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    sealed_credential BYTEA,
    -- An existing Envoy cluster's name; null where Latchkey runs one.
    cluster TEXT,
    enabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
