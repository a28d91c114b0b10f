-- Where events are sent to.
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- `standard`, `slack` or `teams`.
    format TEXT NOT NULL,
    -- Sealed: who knows the URL of a chat may write there.
    url BLOB NOT NULL,
    -- What people see of the URL.
    shown_url TEXT NOT NULL,
    -- JSON: patterns of kinds of events.
    events TEXT NOT NULL,
    -- JSON: "all", or ids of apps.
    apps TEXT NOT NULL,
    -- Sealed; null where the format is not signed.
    secret BLOB,
    -- Sealed: what also signs until `previous_until`.
    previous_secret BLOB,
    previous_until INTEGER,
    enabled INTEGER NOT NULL,
    -- Why Latchkey disabled it; empty where it did not.
    disabled_reason TEXT NOT NULL DEFAULT '',
    -- Since when no delivery has succeeded, though some were tried, and how many attempts that were.
    failing_since INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- Messages to webhooks: of each event one to each webhook that asks for it, and tests.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    -- Null for a test.
    event_id INTEGER,
    -- The `webhook-id`, the same at every attempt.
    message_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    -- Empty: no app's.
    app_id TEXT NOT NULL,
    -- When the event happened.
    at INTEGER NOT NULL,
    -- JSON, the same at every attempt.
    body TEXT NOT NULL,
    -- `pending`, `delivered` or `failed`.
    state TEXT NOT NULL,
    -- How many attempts there were, and how many since it was last put into the queue.
    attempts INTEGER NOT NULL,
    step INTEGER NOT NULL,
    -- When it is due, while it is pending.
    next_at INTEGER NOT NULL,
    -- The process that is sending it, empty for none; it counts `beat` up as long as it lives.
    leased_by TEXT NOT NULL DEFAULT '',
    beat INTEGER NOT NULL DEFAULT 0,
    UNIQUE (webhook_id, event_id)
) STRICT;
CREATE INDEX deliveries_due ON deliveries (webhook_id, next_at) WHERE state = 'pending';
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, id);
CREATE INDEX deliveries_by_age ON deliveries (at);
CREATE INDEX deliveries_by_event ON deliveries (event_id);
CREATE INDEX deliveries_leased ON deliveries (leased_by) WHERE leased_by <> '';

CREATE TABLE delivery_attempts (
    id INTEGER PRIMARY KEY,
    delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    -- Of the answer; null where there was none.
    status INTEGER,
    -- Why it did not succeed; empty where it did.
    error TEXT NOT NULL,
    elapsed_ms INTEGER NOT NULL,
    -- The beginning of the answer's body.
    answer TEXT NOT NULL
) STRICT;
CREATE INDEX delivery_attempts_by_delivery ON delivery_attempts (delivery_id, id);

-- Whether an event has been given to the webhooks that ask for it, and whether a budget that was used up is not
-- any more.
ALTER TABLE events ADD COLUMN dispatched INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN resolved INTEGER NOT NULL DEFAULT 0;
UPDATE events SET dispatched = 1, resolved = 1;
CREATE INDEX events_undispatched ON events (id) WHERE dispatched = 0;
CREATE INDEX events_unresolved ON events (id) WHERE kind = 'quota.exceeded' AND resolved = 0;
CREATE INDEX events_by_age ON events (at);

-- What requests did that is told once a minute.
CREATE TABLE event_counts (
    -- By the clock of the control plane, in minutes since 1970.
    minute INTEGER NOT NULL,
    kind TEXT NOT NULL,
    app_id TEXT NOT NULL,
    -- The code of the refusal, or what was found.
    rule TEXT NOT NULL,
    -- What was done about it; empty for a refusal.
    action TEXT NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (minute, kind, app_id, rule, action)
) STRICT;

-- Keys that end.
CREATE INDEX keys_by_expiry ON keys (expires_at) WHERE expires_at IS NOT NULL;
