-- Revert topicbase:publish/first_json_fault from pg
BEGIN;
DROP FUNCTION mqtt.first_json_fault(json);
COMMIT;
