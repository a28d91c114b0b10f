-- By which gateways seal the ids of a server's sessions. Clients never learn it.
ALTER TABLE mcp_servers ADD COLUMN session_key BYTEA NOT NULL DEFAULT '';
UPDATE mcp_servers SET session_key = uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
-- Gateways get it with the catalogue, which has changed with it.
UPDATE head SET revision = revision + 1, tag = uuid_send(gen_random_uuid()), catalogue_revision = revision + 1
WHERE EXISTS (SELECT 1 FROM mcp_servers);
INSERT INTO revisions (revision, tag, created_at)
SELECT revision, tag, (EXTRACT(EPOCH FROM now()) * 1000)::BIGINT FROM head WHERE EXISTS (SELECT 1 FROM mcp_servers);
