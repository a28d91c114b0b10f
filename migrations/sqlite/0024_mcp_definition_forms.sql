-- What is known of the definitions of MCP servers' tools: `clear` (it reads in one way), `too_long` or `holds_key` (it does,
-- and is not kept), `unreadable` (two programs could read it differently), or `unknown`.
ALTER TABLE mcp_tools ADD COLUMN seen_form TEXT NOT NULL DEFAULT 'clear';
-- Null where none is approved.
ALTER TABLE mcp_tools ADD COLUMN approved_form TEXT;
UPDATE mcp_tools SET seen_form = 'unknown' WHERE seen_definition IS NULL;
UPDATE mcp_tools SET approved_form = CASE WHEN approved_definition IS NULL THEN 'unknown' ELSE 'clear' END
WHERE approved_hash IS NOT NULL;
