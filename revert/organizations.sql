-- Revert topicbase:organizations from pg
BEGIN;
DROP FUNCTION mqtt.longest_term(text);
DROP TABLE mqtt.organizations;
COMMIT;
