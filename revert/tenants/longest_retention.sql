-- Revert topicbase:tenants/longest_retention from pg
BEGIN;
DROP FUNCTION mqtt.longest_term(text);
COMMIT;
