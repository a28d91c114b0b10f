-- What people look for among all records, and few have.
CREATE INDEX records_by_conversation ON records (conversation_id, id) WHERE conversation_id <> '';
CREATE INDEX records_with_attempts ON records (id) WHERE attempts <> '';
CREATE INDEX records_found ON records (id) WHERE findings > 0;
