-- Prices get what they lacked: what writing to a provider's cache costs, a price for long inputs, and other
-- service tiers. What an older price does not say is the dearest that its vendor has.
ALTER TABLE prices ADD COLUMN cache_write_5m INTEGER NOT NULL DEFAULT 0;
ALTER TABLE prices ADD COLUMN cache_write_1h INTEGER NOT NULL DEFAULT 0;
-- Null: a request costs the same, however long it is. In tokens, then in nano-USD per million tokens.
ALTER TABLE prices ADD COLUMN long_above INTEGER;
ALTER TABLE prices ADD COLUMN long_input INTEGER;
ALTER TABLE prices ADD COLUMN long_cached_input INTEGER;
ALTER TABLE prices ADD COLUMN long_cache_write_5m INTEGER;
ALTER TABLE prices ADD COLUMN long_cache_write_1h INTEGER;
ALTER TABLE prices ADD COLUMN long_output INTEGER;
-- JSON, by the names of the tiers.
ALTER TABLE prices ADD COLUMN tiers TEXT NOT NULL DEFAULT '{}';

UPDATE prices SET cache_write_5m = (input * 5 + 3) / 4,
    cache_write_1h = CASE
        WHEN provider IN (SELECT name FROM providers WHERE kind = 'anthropic') OR LOWER(model) LIKE '%claude%'
        THEN input * 2 ELSE (input * 5 + 1) / 2 END;

-- The window of these models ended where the dear rate begins, which was not known.
UPDATE prices SET long_above = 272000, long_input = input * 2, long_cached_input = cached_input * 2,
    long_cache_write_5m = cache_write_5m * 2, long_cache_write_1h = cache_write_1h * 2, long_output = (output * 3 + 1) / 2
    WHERE model_id IN (SELECT id FROM models WHERE context_window = 272000
        AND (upstream_name LIKE 'gpt-5.4%' OR upstream_name LIKE 'gpt-5.5%'));
UPDATE models SET context_window = 1050000 WHERE context_window = 272000
    AND (upstream_name LIKE 'gpt-5.4%' OR upstream_name LIKE 'gpt-5.5%');
UPDATE prices SET long_above = 200000, long_input = input * 2, long_cached_input = cached_input * 2,
    long_cache_write_5m = cache_write_5m * 2, long_cache_write_1h = cache_write_1h * 2, long_output = (output * 3 + 1) / 2
    WHERE model_id IN (SELECT id FROM models WHERE context_window = 200000
        AND (upstream_name LIKE 'gemini-2.5-pro%' OR upstream_name LIKE 'claude-sonnet-4%')
        AND upstream_name NOT LIKE 'claude-sonnet-4-6%');
UPDATE models SET context_window = 1114112 WHERE context_window = 200000 AND upstream_name LIKE 'gemini-2.5-pro%';
UPDATE models SET context_window = 1000000 WHERE context_window = 200000
    AND (upstream_name LIKE 'claude-sonnet-4%' OR upstream_name LIKE 'claude-opus-4-6%' OR upstream_name LIKE 'claude-opus-4-7%');

ALTER TABLE records ADD COLUMN cache_write_5m_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0;
-- Empty: nobody said.
ALTER TABLE records ADD COLUMN service_tier TEXT NOT NULL DEFAULT '';
