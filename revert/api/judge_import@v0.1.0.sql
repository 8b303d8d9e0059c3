-- Revert topicbase:api/judge_import from pg
BEGIN;
DROP FUNCTION mqtt.judge_import(mqtt.device_integrations, jsonb);
DROP FUNCTION mqtt.stored_ids(integer, uuid []);
DROP FUNCTION mqtt.import_id(text, uuid, text, timestamptz, jsonb, bytea);
COMMIT;
