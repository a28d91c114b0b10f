-- JSON: the gateway processes that wait for units of a bucket, in the order of their turns. They wait for
-- seconds: what is lost of it is told again.
ALTER TABLE buckets ADD COLUMN turns TEXT NOT NULL DEFAULT '[]';
