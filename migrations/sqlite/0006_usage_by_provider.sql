-- The sums of each app or user by provider, whatever the model (`app_provider`, `user_provider`): what pages
-- filter by provider would else read a row for each model.
INSERT INTO usage_sums
    SELECT 'app_provider', day, app_id, '', provider, SUM(requests), SUM(denied), SUM(input_tokens),
        SUM(cached_input_tokens), SUM(output_tokens), SUM(reasoning_tokens), SUM(cost)
    FROM usage_days GROUP BY day, app_id, provider;
INSERT INTO usage_sums
    SELECT 'user_provider', day, user_id, '', provider, SUM(requests), SUM(denied), SUM(input_tokens),
        SUM(cached_input_tokens), SUM(output_tokens), SUM(reasoning_tokens), SUM(cost)
    FROM usage_days GROUP BY day, user_id, provider;
