-- External detectors, which the guardrails of apps name: a company's own models that judge texts.
CREATE TABLE detectors (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    sealed_credential BLOB,
    -- An existing Envoy cluster's name; null where Latchkey runs one.
    cluster TEXT,
    enabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- How long a request waits for its answer.
    timeout_ms INTEGER NOT NULL,
    -- How much text of one request it is sent.
    max_text_bytes INTEGER NOT NULL
) STRICT;
