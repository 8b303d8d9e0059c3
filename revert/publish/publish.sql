-- Revert topicbase:publish/publish from pg
BEGIN;
DROP FUNCTION mqtt.publish(uuid, text, bytea, integer, boolean, jsonb);
DROP FUNCTION mqtt.publish(uuid, text, text, integer, boolean, jsonb);
DROP FUNCTION mqtt.publish(uuid, text, jsonb, integer, boolean, jsonb);
DROP FUNCTION mqtt.publish(uuid, jsonb);
COMMIT;
