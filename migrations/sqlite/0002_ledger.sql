-- Usage, limits, budgets and prices. Amounts of money are nano-USD; `kind` of a bucket is the number of
-- `BucketKind` in the wire's discovery.proto; `owner` is the id of an app or of a named key.

-- JSON; null where the app's `named_key_limits` apply.
ALTER TABLE keys ADD COLUMN limits TEXT;

-- Every price that a model ever had. What is charged names its version, so rows never change.
CREATE TABLE prices (
    version INTEGER PRIMARY KEY,
    model_id TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    -- Nano-USD per million tokens.
    input INTEGER NOT NULL,
    cached_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX prices_by_model ON prices (model_id, version);

-- Null: no price, or not known.
ALTER TABLE models ADD COLUMN price_version INTEGER REFERENCES prices (version);
ALTER TABLE models ADD COLUMN max_output_tokens INTEGER;
ALTER TABLE models ADD COLUMN context_window INTEGER;

-- What was used for good: in a period, or, where the window slides (period 0), in each of its slots.
CREATE TABLE buckets (
    owner TEXT NOT NULL,
    kind INTEGER NOT NULL,
    period INTEGER NOT NULL,
    used INTEGER NOT NULL,
    -- JSON: [[slot, used], …]; empty for periods.
    slots TEXT NOT NULL,
    PRIMARY KEY (owner, kind, period)
) STRICT;

-- What each gateway process was handed, cumulative. What is outstanding (granted + local - used -
-- returned - expired) counts as used.
CREATE TABLE leases (
    owner TEXT NOT NULL,
    kind INTEGER NOT NULL,
    period INTEGER NOT NULL,
    instance TEXT NOT NULL,
    gateway TEXT NOT NULL,
    granted INTEGER NOT NULL,
    used INTEGER NOT NULL,
    returned INTEGER NOT NULL,
    local INTEGER NOT NULL,
    -- Outstanding when a window's lease ran out: used from then on, and not again when it is told of.
    expired INTEGER NOT NULL DEFAULT 0,
    -- From when on the gateway uses none of it any more, whatever its clock.
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (owner, kind, period, instance)
) STRICT;
CREATE INDEX leases_by_expiry ON leases (expires_at);

-- The last record applied of each worker of each gateway process.
CREATE TABLE ledger_workers (
    instance TEXT NOT NULL,
    worker INTEGER NOT NULL,
    gateway TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    -- Records that are missing: dropped by the gateway, or skipped in the sequence.
    dropped INTEGER NOT NULL,
    -- How many of those the gateway has told of.
    told INTEGER NOT NULL DEFAULT 0,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (instance, worker)
) STRICT;

-- What each request did. Text columns are empty, and numbers 0, where there is nothing to say.
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    gateway TEXT NOT NULL,
    app_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    model TEXT NOT NULL,
    served_model TEXT NOT NULL,
    provider TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    status INTEGER NOT NULL,
    code TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    -- `none`, `reported`, `estimated` or `reserved`.
    settlement TEXT NOT NULL,
    latency_ms INTEGER NOT NULL,
    -- Null: no byte of an answer's body came.
    first_token_ms INTEGER,
    streamed INTEGER NOT NULL,
    client_address TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    -- The app's metadata at that time, as JSON.
    metadata TEXT NOT NULL
) STRICT;
CREATE INDEX records_by_time ON records (at);
CREATE INDEX records_by_app ON records (app_id, id);
CREATE INDEX records_by_key ON records (key_id, id);
CREATE INDEX records_by_user ON records (user_id, id);
-- Few, and what people look for among all records.
CREATE INDEX records_refused ON records (code, id) WHERE code <> '';
CREATE INDEX records_failed ON records (id) WHERE status >= 400;

-- Sums, which outlive the records. `day` is days since 1970 in UTC.
CREATE TABLE usage_days (
    day INTEGER NOT NULL,
    app_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    requests INTEGER NOT NULL,
    -- Of these, how many the gateway refused.
    denied INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    PRIMARY KEY (day, app_id, key_id, model, provider, user_id)
) STRICT;
CREATE INDEX usage_days_by_app ON usage_days (app_id, day);

-- Of each key, since it was made.
CREATE TABLE key_usage (
    key_id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL,
    requests INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX key_usage_by_app ON key_usage (app_id);

-- What webhooks will tell. `once` keeps an event from being written twice.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    app_id TEXT NOT NULL,
    -- Empty: the app as a whole.
    key_id TEXT NOT NULL,
    -- JSON.
    data TEXT NOT NULL,
    once TEXT UNIQUE
) STRICT;
CREATE INDEX events_by_app ON events (app_id, id);
