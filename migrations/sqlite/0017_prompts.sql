-- JSON: the stored prompts that a request referred to, each with its version. Empty where there were none.
ALTER TABLE records ADD COLUMN prompts TEXT NOT NULL DEFAULT '';

-- Prompts that were stored without effect have one now: gateways get the apps that have any.
UPDATE head SET revision = revision + 1, tag = randomblob(16)
WHERE EXISTS (SELECT 1 FROM apps WHERE deleted_at IS NULL AND settings LIKE '%"prompts":[{%');
INSERT INTO revisions (revision, tag, created_at)
SELECT revision, tag, unixepoch() * 1000 FROM head
WHERE EXISTS (SELECT 1 FROM apps WHERE deleted_at IS NULL AND settings LIKE '%"prompts":[{%');
UPDATE apps SET revision = (SELECT revision FROM head)
WHERE deleted_at IS NULL AND settings LIKE '%"prompts":[{%';
