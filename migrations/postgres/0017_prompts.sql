-- JSON: the stored prompts that a request referred to, each with its version. Empty where there were none.
ALTER TABLE records ADD COLUMN prompts TEXT NOT NULL DEFAULT '';

-- Prompts that were stored without effect have one now: gateways get the apps that have any.
UPDATE head SET revision = revision + 1, tag = uuid_send(gen_random_uuid())
WHERE EXISTS (SELECT 1 FROM apps WHERE deleted_at IS NULL AND settings LIKE '%"prompts":[{%');
INSERT INTO revisions (revision, tag, created_at)
SELECT revision, tag, (EXTRACT(EPOCH FROM now()) * 1000)::BIGINT FROM head
WHERE EXISTS (SELECT 1 FROM apps WHERE deleted_at IS NULL AND settings LIKE '%"prompts":[{%');
UPDATE apps SET revision = (SELECT revision FROM head)
WHERE deleted_at IS NULL AND settings LIKE '%"prompts":[{%';
