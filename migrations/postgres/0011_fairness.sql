-- How many output tokens each answer was to have and was given, where the gateway lowered that; 0 where it did not.
ALTER TABLE records ADD COLUMN asked_output_tokens BIGINT NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN granted_output_tokens BIGINT NOT NULL DEFAULT 0;

-- How dense the tokens of models were, request by request: in which eighth of a byte per token each lay.
-- `model` is the provider's name for it; `text` is `ascii`, or `other` for what is mostly beyond.
CREATE TABLE density_samples (
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    text TEXT NOT NULL,
    eighths BIGINT NOT NULL,
    samples BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    PRIMARY KEY (provider, model, text, eighths)
);

-- What gateways are told of it: thousandths of a byte per token.
CREATE TABLE densities (
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    text TEXT NOT NULL,
    bytes_per_token BIGINT NOT NULL,
    measured_at BIGINT NOT NULL,
    PRIMARY KEY (provider, model, text)
);
