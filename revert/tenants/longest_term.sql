-- Revert topicbase:tenants/longest_term from pg
BEGIN;
DROP FUNCTION mqtt.longest_term(text);
COMMIT;
