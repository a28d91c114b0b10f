-- By which gateways seal the ids of a server's sessions. Clients never learn it.
ALTER TABLE mcp_servers ADD COLUMN session_key BYTEA NOT NULL DEFAULT '';
UPDATE mcp_servers SET session_key = uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
-- Gateways get it with the catalogue.
