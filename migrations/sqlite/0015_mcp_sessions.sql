-- By which gateways seal the ids of a server's sessions. Clients never learn it.
ALTER TABLE mcp_servers ADD COLUMN session_key BLOB NOT NULL DEFAULT x'';
UPDATE mcp_servers SET session_key = randomblob(32);
-- Gateways get it with the catalogue, which has changed with it.
UPDATE head SET revision = revision + 1, tag = randomblob(16), catalogue_revision = revision + 1
WHERE EXISTS (SELECT 1 FROM mcp_servers);
INSERT INTO revisions (revision, tag, created_at)
SELECT revision, tag, unixepoch() * 1000 FROM head WHERE EXISTS (SELECT 1 FROM mcp_servers);
