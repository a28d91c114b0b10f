-- What change requests ask of guardrails, tried on an app's requests beside its own guardrails. One row for each
-- change request: one that is tried again goes on counting.
CREATE TABLE guardrail_trials (
    change_request_id TEXT PRIMARY KEY REFERENCES change_requests (id),
    app_id TEXT NOT NULL REFERENCES apps (id),
    -- JSON: the guardrails and custom categories as they would be, and what of them is not tried.
    proposal TEXT NOT NULL,
    -- The first time.
    started_at BIGINT NOT NULL,
    -- It ends by itself then.
    until BIGINT NOT NULL,
    -- When it was over, where that is noted.
    ended_at BIGINT,
    -- Why it was over before its time; empty where it was not.
    ended_because TEXT NOT NULL
);
CREATE UNIQUE INDEX guardrail_trials_running ON guardrail_trials (app_id) WHERE ended_at IS NULL;

-- The change request whose guardrails were tried on the request, or would have found this; empty for none.
ALTER TABLE records ADD COLUMN tried_change_request TEXT NOT NULL DEFAULT '';
CREATE INDEX records_by_trial ON records (tried_change_request) WHERE tried_change_request <> '';
ALTER TABLE findings ADD COLUMN change_request_id TEXT NOT NULL DEFAULT '';
CREATE INDEX findings_by_trial ON findings (change_request_id, id) WHERE change_request_id <> '';
