-- Revert topicbase:integrations/transform_reason from pg
BEGIN;
DROP FUNCTION mqtt.transform_reason(text);
COMMIT;
