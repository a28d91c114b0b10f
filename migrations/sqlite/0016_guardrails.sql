-- Random bytes that this installation makes keys of; nobody is told them. Gateways get what is made of them.
CREATE TABLE installation_secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
INSERT INTO installation_secrets (name, value)
VALUES ('guardrails', randomblob(32));

-- What guardrails found. Text columns are empty where there is nothing to say; never the value that was found.
CREATE TABLE findings (
    id INTEGER PRIMARY KEY,
    -- Of the request.
    at INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    gateway TEXT NOT NULL,
    app_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    category TEXT NOT NULL,
    detector TEXT NOT NULL,
    -- `low` or `high`.
    risk TEXT NOT NULL,
    -- `monitored`, `redacted`, `anonymized`, `blocked`, or what a rule on trial would have done: `would_block`.
    action TEXT NOT NULL,
    -- `request` or `response`.
    direction TEXT NOT NULL,
    place TEXT NOT NULL,
    -- From 0; null where the place is no message.
    message INTEGER,
    count INTEGER NOT NULL,
    -- Masked.
    excerpt TEXT NOT NULL,
    -- Hexadecimal, by the app's key.
    value_hash TEXT NOT NULL
) STRICT;
CREATE INDEX findings_by_time ON findings (at);
CREATE INDEX findings_by_app ON findings (app_id, id);
CREATE INDEX findings_by_app_and_time ON findings (app_id, at);
CREATE INDEX findings_by_user ON findings (user_id, id);
CREATE INDEX findings_by_key ON findings (key_id, id);
CREATE INDEX findings_by_request ON findings (request_id, id);
CREATE INDEX findings_by_category ON findings (category, id);
CREATE INDEX findings_by_action ON findings (action, id);
CREATE INDEX findings_by_app_and_user ON findings (app_id, user_id, id) WHERE user_id <> '';

-- Whether guardrails looked, how many findings there were, and how much could not be read.
ALTER TABLE records ADD COLUMN inspected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN findings INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN unread INTEGER NOT NULL DEFAULT 0;
CREATE INDEX records_with_findings ON records (app_id, id) WHERE findings > 0;

-- Categories that were stored without effect have one now: gateways get the apps that have any.
UPDATE head SET revision = revision + 1, tag = randomblob(16)
WHERE EXISTS (SELECT 1 FROM apps WHERE deleted_at IS NULL AND settings LIKE '%"custom_categories":[{%');
INSERT INTO revisions (revision, tag, created_at)
SELECT revision, tag, unixepoch() * 1000 FROM head
WHERE EXISTS (SELECT 1 FROM apps WHERE deleted_at IS NULL AND settings LIKE '%"custom_categories":[{%');
UPDATE apps SET revision = (SELECT revision FROM head)
WHERE deleted_at IS NULL AND settings LIKE '%"custom_categories":[{%';
