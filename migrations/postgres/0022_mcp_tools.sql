-- Which of an MCP server's tools may be used: `unpinned` (all that it lists), `trust_first_use` or `approval`.
ALTER TABLE mcp_servers ADD COLUMN tool_pinning TEXT NOT NULL DEFAULT 'unpinned';

-- Tools of MCP servers whose tools are pinned, as gateways have seen them.
CREATE TABLE mcp_tools (
    server TEXT NOT NULL REFERENCES mcp_servers (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- `approved`, `changed` (another definition than the approved one was seen), `new` or `rejected`.
    state TEXT NOT NULL,
    -- SHA-256 of the definition as canonical JSON, in hexadecimal. Null where none is approved, as are the next three.
    approved_hash TEXT,
    -- Canonical JSON; null where it is too long or cannot be read. So with `seen_definition`.
    approved_definition TEXT,
    -- Null where it was trusted at first use.
    approved_by TEXT,
    approved_at BIGINT,
    -- As it was seen last.
    seen_hash TEXT NOT NULL,
    seen_definition TEXT,
    seen_at BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    PRIMARY KEY (server, name)
);
CREATE INDEX mcp_tools_by_state ON mcp_tools (state);
