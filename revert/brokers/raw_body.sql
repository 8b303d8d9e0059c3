-- Revert topicbase:brokers/raw_body from pg
BEGIN;
DROP DOMAIN api."*/*";
COMMIT;
