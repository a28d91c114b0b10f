-- People, groups, access, change requests, versions and the audit log.

ALTER TABLE users ADD COLUMN deactivated_at BIGINT;
-- Argon2id, in PHC format; null where the user signs in elsewhere only.
ALTER TABLE users ADD COLUMN password_hash TEXT;
ALTER TABLE users ADD COLUMN password_changed_at BIGINT;

-- Who a user is to an OpenID provider.
CREATE TABLE identities (
    id TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    UNIQUE (issuer, subject)
);
CREATE INDEX identities_by_user ON identities (user_id);

-- Signed-in browsers. `hash` is of the cookie's value.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    hash BYTEA NOT NULL UNIQUE,
    -- `password`, `invitation` or `oidc`.
    method TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    client_address TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- The user who made it, whoever it is of; null where the command line did, or nobody noted it.
ALTER TABLE tokens ADD COLUMN created_by TEXT REFERENCES users (id);

-- Links by which a user sets a password, once.
CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    hash BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX invitations_by_user ON invitations (user_id);

-- Failed sign-ins, by account and by client address.
CREATE TABLE sign_in_failures (
    subject TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    blocked_until BIGINT NOT NULL
);

-- Smart groups.
CREATE TABLE groups (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- The name in lower case.
    folded_name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    -- The value of the groups claim that fills it at sign-in; null where people are added by hand.
    claim TEXT UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES groups (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    -- `admin` or `claim`.
    source TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_by_user ON group_members (user_id, group_id);

-- Who an app's self-service settings name, as an index of them: `apps.settings` is the truth.
CREATE TABLE app_subjects (
    app_id TEXT NOT NULL REFERENCES apps (id),
    -- `viewer`, `settings_request`, `key_visibility` or `all_logs`.
    capability TEXT NOT NULL,
    -- `allow` or `except`.
    list TEXT NOT NULL,
    -- `user`, `group`, or `everyone` with an empty `subject`.
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    PRIMARY KEY (app_id, capability, list, kind, subject)
);
CREATE INDEX app_subjects_by_subject ON app_subjects (kind, subject, app_id);

-- 1 while its user may not use the app, and the app suspends keys then.
ALTER TABLE keys ADD COLUMN suspended BIGINT NOT NULL DEFAULT 0;

-- The JWK sets of identity providers, as the control plane last fetched them.
CREATE TABLE jwks (
    url TEXT PRIMARY KEY,
    -- JSON: the keys that gateways can use; empty until the first answer.
    keys TEXT NOT NULL,
    fetched_at BIGINT,
    tried_at BIGINT NOT NULL,
    -- Why the last attempt failed; empty when it did not.
    error TEXT NOT NULL
);

-- Every state that an app's configuration had.
CREATE TABLE app_versions (
    app_id TEXT NOT NULL REFERENCES apps (id),
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    operation TEXT NOT NULL,
    -- As in the audit log.
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    change_request_id TEXT,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    -- JSON: the paths that differ from the version before.
    changed TEXT NOT NULL,
    PRIMARY KEY (app_id, number)
);

-- The first version of an app that is older than versions is what it is now.
INSERT INTO app_versions (app_id, number, at, operation, actor_kind, actor_id, actor_name, name, settings, changed)
    SELECT id, 1, updated_at, 'create', 'system', '', 'migration', name, settings, '[]' FROM apps
    WHERE deleted_at IS NULL;

CREATE TABLE change_requests (
    id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    -- Why the requester wants it.
    reason TEXT NOT NULL,
    -- The version of the app that it was made on.
    base_version BIGINT NOT NULL,
    -- JSON: the edit as it was asked for.
    edit TEXT NOT NULL,
    -- JSON: per path that it touches, the value then and the value wanted.
    changes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT REFERENCES users (id),
    -- What the one who decided says, or why it failed or is stale.
    comment TEXT NOT NULL,
    -- The version that it made.
    version BIGINT
);
CREATE INDEX change_requests_by_app ON change_requests (app_id, id);
CREATE INDEX change_requests_by_user ON change_requests (user_id, id);
CREATE INDEX change_requests_pending ON change_requests (app_id, id) WHERE status = 'pending';

-- The audit log. `hash` is SHA-256 over the entry's content and `previous`, the hash before it.
CREATE TABLE audit (
    number BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    -- `user`, `token` or `system`, its id, and what it was called then.
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    client_address TEXT NOT NULL,
    -- `key.revoked`, `group.member_removed`, …
    action TEXT NOT NULL,
    -- What it was done to: `key`, its id, and what it was called then.
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    -- Empty where it is about no app.
    app_id TEXT NOT NULL,
    -- JSON, without secrets.
    data TEXT NOT NULL,
    previous BYTEA NOT NULL,
    hash BYTEA NOT NULL
);
CREATE INDEX audit_by_app ON audit (app_id, number);
CREATE INDEX audit_by_actor ON audit (actor_id, number);
CREATE INDEX audit_by_subject ON audit (subject_id, number);

-- One row: the newest entry. Updating it first orders the transactions that add entries.
CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
INSERT INTO audit_head (id, number, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

-- Who it was, where the key does not say: the e-mail address that the request claimed.
ALTER TABLE records ADD COLUMN identity TEXT NOT NULL DEFAULT '';
-- `none`, `key`, `jwt` or `header`.
ALTER TABLE records ADD COLUMN identity_source TEXT NOT NULL DEFAULT 'none';

-- The sums that a user's requests have, and a key's.
CREATE INDEX usage_days_by_user ON usage_days (user_id, app_id, day);
CREATE INDEX usage_days_by_key ON usage_days (key_id, day);

-- Fewer still than those that failed.
CREATE INDEX records_broken ON records (id) WHERE status >= 500;

-- Of all keys of an app, since it was made.
CREATE TABLE app_usage (
    app_id TEXT PRIMARY KEY,
    requests BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
INSERT INTO app_usage (app_id, requests, last_used_at)
    SELECT app_id, SUM(requests), MAX(last_used_at) FROM key_usage GROUP BY app_id;
DROP INDEX key_usage_by_app;
