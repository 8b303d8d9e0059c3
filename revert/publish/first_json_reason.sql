-- Revert topicbase:publish/first_json_reason from pg
BEGIN;
DROP FUNCTION mqtt.first_json_reason(json);
COMMIT;
