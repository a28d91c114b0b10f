-- The last 4 characters of a key's value, which people recognize it by; null where it was not known when it was written.
ALTER TABLE keys ADD COLUMN ending TEXT;
-- The same of the secret that the last rotation replaced.
ALTER TABLE keys ADD COLUMN retired_ending TEXT;
CREATE INDEX keys_by_ending ON keys (ending);
CREATE INDEX keys_by_retired_ending ON keys (retired_ending);
