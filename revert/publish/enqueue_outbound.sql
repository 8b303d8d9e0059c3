-- Revert topicbase:publish/enqueue_outbound from pg
BEGIN;
DROP FUNCTION mqtt.enqueue_outbound(uuid, uuid, jsonb);
DROP FUNCTION mqtt.require_publishable(jsonb, text, integer);
DROP FUNCTION mqtt.outbound_array(json, integer);
COMMIT;
