-- The sums of `usage_days` by fewer things, since pages show them over all apps: by model and provider of
-- `all`; of each `app` or `user`, whose id is `value`; and of each by model and provider, too (`app_model`,
-- `user_model`). What a sum is not by is empty.
CREATE TABLE usage_sums (
    dimension TEXT NOT NULL,
    day BIGINT NOT NULL,
    value TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    requests BIGINT NOT NULL,
    denied BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    PRIMARY KEY (dimension, day, value, model, provider)
);
INSERT INTO usage_sums
    SELECT 'all', day, '', model, provider, SUM(requests), SUM(denied), SUM(input_tokens), SUM(cached_input_tokens),
        SUM(output_tokens), SUM(reasoning_tokens), SUM(cost)
    FROM usage_days GROUP BY day, model, provider;
INSERT INTO usage_sums
    SELECT 'app', day, app_id, '', '', SUM(requests), SUM(denied), SUM(input_tokens), SUM(cached_input_tokens),
        SUM(output_tokens), SUM(reasoning_tokens), SUM(cost)
    FROM usage_days GROUP BY day, app_id;
INSERT INTO usage_sums
    SELECT 'user', day, user_id, '', '', SUM(requests), SUM(denied), SUM(input_tokens), SUM(cached_input_tokens),
        SUM(output_tokens), SUM(reasoning_tokens), SUM(cost)
    FROM usage_days GROUP BY day, user_id;
INSERT INTO usage_sums
    SELECT 'app_model', day, app_id, model, provider, SUM(requests), SUM(denied), SUM(input_tokens), SUM(cached_input_tokens),
        SUM(output_tokens), SUM(reasoning_tokens), SUM(cost)
    FROM usage_days GROUP BY day, app_id, model, provider;
INSERT INTO usage_sums
    SELECT 'user_model', day, user_id, model, provider, SUM(requests), SUM(denied), SUM(input_tokens), SUM(cached_input_tokens),
        SUM(output_tokens), SUM(reasoning_tokens), SUM(cost)
    FROM usage_days GROUP BY day, user_id, model, provider;

-- Whether the request came with a secret that was replaced.
ALTER TABLE records ADD COLUMN old_secret BIGINT NOT NULL DEFAULT 0;
-- When the last such request came: 0 for never. Of an app: of its own key.
ALTER TABLE key_usage ADD COLUMN old_secret_used_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE app_usage ADD COLUMN old_secret_used_at BIGINT NOT NULL DEFAULT 0;

-- What somebody did in one app; records of apps' own keys are of no user.
CREATE INDEX records_by_app_and_user ON records (app_id, user_id, id) WHERE user_id <> '';
