-- Verify topicbase:tables/client_ids on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.bridge_client_id(uuid, jsonb)', false, 'i', '{authenticated,service_role}');
ROLLBACK;
