-- Why a provider's own figures were not taken for a request, or not taken for all; empty where they were.
ALTER TABLE records ADD COLUMN settlement_reason TEXT NOT NULL DEFAULT '';
