-- Revert topicbase:integrations/refuse_rule from pg
BEGIN;
DROP FUNCTION mqtt.refuse_rule(text, text);
COMMIT;
