-- Ids are UUIDs as text, times Unix milliseconds, flags 0 or 1, `sealed_…` what the master key encrypts.
-- `revision` is the one of the change that last touched the row: see `head` and `revisions`.

-- One row: the newest revision. Updating it first orders all publishing transactions.
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    tag BLOB NOT NULL,
    -- The newest revision that touched a provider or a model.
    catalogue_revision INTEGER NOT NULL
) STRICT;
INSERT INTO head (id, revision, tag, catalogue_revision) VALUES (1, 0, randomblob(16), 0);

-- Every revision's tag, random, so that a database restored from a backup is told from the one it was.
CREATE TABLE revisions (
    revision INTEGER PRIMARY KEY,
    tag BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO revisions (revision, tag, created_at) SELECT revision, tag, 0 FROM head;

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL,
    user_id TEXT REFERENCES users (id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE TABLE apps (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX apps_by_revision ON apps (revision, id);

CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id),
    -- Null for the app's own key, of which there is one.
    user_id TEXT REFERENCES users (id),
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    rotated_at INTEGER,
    revoked_at INTEGER,
    hash BLOB NOT NULL UNIQUE,
    sealed_value BLOB,
    -- The secret that the last rotation replaced, and when it stops.
    retired_hash BLOB,
    retires_at INTEGER,
    revision INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX keys_one_app_key ON keys (app_id) WHERE user_id IS NULL;
CREATE INDEX keys_by_app ON keys (app_id, id);
CREATE INDEX keys_by_user ON keys (user_id);
CREATE INDEX keys_by_revision ON keys (revision, id);

-- What gateways must forget: `key` with a hash, `app` with a UUID of 16 bytes.
CREATE TABLE removals (
    revision INTEGER NOT NULL,
    kind TEXT NOT NULL,
    resource BLOB NOT NULL,
    PRIMARY KEY (revision, kind, resource)
) STRICT;

CREATE TABLE providers (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    base_url TEXT NOT NULL,
    sealed_credential BLOB,
    -- An existing Envoy cluster's name; null where Latchkey runs one.
    cluster TEXT,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE models (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    provider TEXT NOT NULL REFERENCES providers (name),
    upstream_name TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (name, provider)
) STRICT;
CREATE INDEX models_by_provider ON models (provider);

-- What each stream of each control plane's replica last said of its gateway.
CREATE TABLE gateway_streams (
    replica TEXT NOT NULL,
    stream INTEGER NOT NULL,
    gateway TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (replica, stream)
) STRICT;

-- Answers to creations, so that a request sent twice creates once.
CREATE TABLE idempotency (
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    status INTEGER NOT NULL,
    sealed_body BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (actor, key)
) STRICT;
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- One row, sealed with the master key at the first start, by which another master key is noticed.
CREATE TABLE master_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    sealed_check BLOB NOT NULL
) STRICT;
