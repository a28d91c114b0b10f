-- For how long a provider's answer may be silent. NULL: as the gateway's own configuration says.
ALTER TABLE providers ADD COLUMN idle_timeout_seconds BIGINT;
