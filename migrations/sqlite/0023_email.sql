-- How often people want e-mail about what. Who has no row has the defaults.
CREATE TABLE mail_preferences (
    user_id TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- JSON: topics with `at_once`, `daily` or `off`.
    preferences TEXT NOT NULL
) STRICT;

-- E-mail to people: each is about one event, about those of a day, or a test.
CREATE TABLE mails (
    id INTEGER PRIMARY KEY,
    -- What is before the `@` of its `Message-ID`, the same at every attempt.
    message_id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- `event`, `digest` or `test`.
    kind TEXT NOT NULL,
    -- When it was put into the queue.
    at INTEGER NOT NULL,
    -- `pending`, `sent`, `failed`, or `dropped`: there was nothing left to say.
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    -- When it is due, while it is pending.
    next_at INTEGER NOT NULL,
    -- When the last attempt ended, and why it did not succeed; empty where it did.
    tried_at INTEGER,
    error TEXT NOT NULL DEFAULT '',
    -- The process that is sending it, empty for none; it counts `beat` up as long as it lives.
    leased_by TEXT NOT NULL DEFAULT '',
    beat INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX mails_due ON mails (next_at) WHERE state = 'pending';
CREATE INDEX mails_pending ON mails (user_id) WHERE state = 'pending';
CREATE INDEX mails_by_age ON mails (at);
CREATE INDEX mails_by_attempt ON mails (tried_at);
CREATE INDEX mails_by_failure ON mails (tried_at) WHERE error <> '';
CREATE INDEX mails_leased ON mails (leased_by) WHERE leased_by <> '';

-- Of which events people are told by e-mail: of each once.
CREATE TABLE mail_events (
    event_id INTEGER NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- Null while it waits for the digest.
    mail_id INTEGER REFERENCES mails (id) ON DELETE CASCADE,
    -- When the digest is due that it waits for.
    due_at INTEGER NOT NULL,
    PRIMARY KEY (event_id, user_id)
) STRICT;
CREATE INDEX mail_events_waiting ON mail_events (due_at) WHERE mail_id IS NULL;
CREATE INDEX mail_events_of_user ON mail_events (user_id, due_at) WHERE mail_id IS NULL;
CREATE INDEX mail_events_by_mail ON mail_events (mail_id);
