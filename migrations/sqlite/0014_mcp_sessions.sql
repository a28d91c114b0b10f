-- By which gateways seal the ids of a server's sessions. Clients never learn it.
ALTER TABLE mcp_servers ADD COLUMN session_key BLOB NOT NULL DEFAULT x'';
UPDATE mcp_servers SET session_key = randomblob(32);
-- Gateways get it with the catalogue.
