-- Routing groups: names that clients use as a model's.
CREATE TABLE routing_groups (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- JSON: targets, failover and so on.
    settings TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- Of its last change.
    revision BIGINT NOT NULL
);

-- From 0 to 63: which of the clusters with fixed names reaches it for routing groups. Null until it is a target.
ALTER TABLE providers ADD COLUMN group_slot BIGINT;
CREATE UNIQUE INDEX providers_by_group_slot ON providers (group_slot);

-- JSON: what each target of a routing group that was tried did. Empty where no group was asked for.
ALTER TABLE records ADD COLUMN attempts TEXT NOT NULL DEFAULT '';

-- The targets that rest at each gateway, as it last said.
CREATE TABLE resting_targets (
    gateway TEXT PRIMARY KEY,
    -- JSON.
    targets TEXT NOT NULL,
    reported_at BIGINT NOT NULL
);
