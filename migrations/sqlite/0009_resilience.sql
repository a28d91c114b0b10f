-- Written now and then, to learn whether the database can be written.
CREATE TABLE probe (
    id INTEGER PRIMARY KEY,
    writes INTEGER NOT NULL
) STRICT;
INSERT INTO probe (id, writes) VALUES (1, 0);

-- The gateway that a token of the role `gateway` is for: bound at its first use. Those that are older may have been
-- given to several: `*` is any gateway.
ALTER TABLE tokens ADD COLUMN gateway TEXT;
UPDATE tokens SET gateway = '*' WHERE role = 'gateway';

-- Refusals that repeat are counted together.
ALTER TABLE records ADD COLUMN repeats INTEGER NOT NULL DEFAULT 1;
