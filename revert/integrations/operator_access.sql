-- Revert topicbase:integrations/operator_access from pg
BEGIN;
DROP FUNCTION mqtt.require_operator();
DROP FUNCTION mqtt.may_operate();
COMMIT;
