-- Random bytes that this installation makes keys of; nobody is told them. Gateways get what is made of them.
CREATE TABLE installation_secrets (
    name TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);
INSERT INTO installation_secrets (name, value)
VALUES ('guardrails', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- What guardrails found. Text columns are empty where there is nothing to say; never the value that was found.
CREATE TABLE findings (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Of the request.
    at BIGINT NOT NULL,
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
    message BIGINT,
    count BIGINT NOT NULL,
    -- Masked.
    excerpt TEXT NOT NULL,
    -- Hexadecimal, by the app's key.
    value_hash TEXT NOT NULL
);
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
ALTER TABLE records ADD COLUMN inspected BIGINT NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN findings BIGINT NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN unread BIGINT NOT NULL DEFAULT 0;
CREATE INDEX records_with_findings ON records (app_id, id) WHERE findings > 0;

-- Categories that were stored without effect have one now: gateways get the apps that have any.
UPDATE head SET revision = revision + 1, tag = uuid_send(gen_random_uuid())
WHERE EXISTS (SELECT 1 FROM apps WHERE deleted_at IS NULL AND settings LIKE '%"custom_categories":[{%');
INSERT INTO revisions (revision, tag, created_at)
SELECT revision, tag, (EXTRACT(EPOCH FROM now()) * 1000)::BIGINT FROM head
WHERE EXISTS (SELECT 1 FROM apps WHERE deleted_at IS NULL AND settings LIKE '%"custom_categories":[{%');
UPDATE apps SET revision = (SELECT revision FROM head)
WHERE deleted_at IS NULL AND settings LIKE '%"custom_categories":[{%';
