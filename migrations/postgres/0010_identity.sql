-- What is searched in: names, and users' addresses, without case, in every language. Databases know the case of
-- some letters only, so the program writes it; where there is more than ASCII already, at its next start.
ALTER TABLE apps ADD COLUMN search_text TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN search_text TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN search_text TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN search_text TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE groups ADD COLUMN search_text TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE apps SET search_text = LOWER(name COLLATE "C") WHERE OCTET_LENGTH(name) = CHAR_LENGTH(name);
UPDATE keys SET search_text = LOWER(name COLLATE "C") WHERE OCTET_LENGTH(name) = CHAR_LENGTH(name);
UPDATE users SET search_text = LOWER(name COLLATE "C") || CHR(10) || email
    WHERE OCTET_LENGTH(name || email) = CHAR_LENGTH(name || email);
UPDATE tokens SET search_text = LOWER(name COLLATE "C") WHERE OCTET_LENGTH(name) = CHAR_LENGTH(name);
UPDATE groups SET search_text = LOWER(name COLLATE "C") WHERE OCTET_LENGTH(name) = CHAR_LENGTH(name);

-- When the set was last fetched out of turn, because a token was refused.
ALTER TABLE jwks ADD COLUMN suspected_at BIGINT NOT NULL DEFAULT 0;
