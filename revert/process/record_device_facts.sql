-- Revert topicbase:process/record_device_facts from pg
BEGIN;
DROP FUNCTION mqtt.record_device_facts(jsonb);
DROP FUNCTION mqtt.merged_metadata(jsonb, jsonb);
DROP FUNCTION mqtt.sample_position(bigint, integer);
COMMIT;
