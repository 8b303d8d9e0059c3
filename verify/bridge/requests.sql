-- Verify topicbase:bridge/requests on pg
BEGIN;
SELECT mqtt.verify_function('bridge.claim_requests(uuid, integer)', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.answer_request(uuid, jsonb, boolean)', true, 'v', '{mqtt_bridge}');
ROLLBACK;
