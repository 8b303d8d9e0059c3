-- Verify topicbase:publish/enqueue_outbound on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.outbound_array(json, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.require_publishable(jsonb, text, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.enqueue_outbound(uuid, uuid, jsonb)', false, 'v', '{}');
ROLLBACK;
