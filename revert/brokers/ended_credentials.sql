-- Revert topicbase:brokers/ended_credentials from pg
BEGIN;
DROP VIEW broker.ended_credentials;
COMMIT;
