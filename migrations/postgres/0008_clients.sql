-- How providers and models want to be asked; null: as the provider's kind suggests, or as the provider.

ALTER TABLE providers ADD COLUMN output_limit TEXT;
ALTER TABLE providers ADD COLUMN stream_options BIGINT;
ALTER TABLE models ADD COLUMN output_limit TEXT;
ALTER TABLE models ADD COLUMN stream_options BIGINT;
