-- Verify topicbase:publish/publish on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.publish(uuid, jsonb)', false, 'v', '{service_role}');
SELECT mqtt.verify_function('mqtt.publish(uuid, text, jsonb, integer, boolean, jsonb)', false, 'v', '{service_role}');
SELECT mqtt.verify_function('mqtt.publish(uuid, text, text, integer, boolean, jsonb)', false, 'v', '{service_role}');
SELECT mqtt.verify_function('mqtt.publish(uuid, text, bytea, integer, boolean, jsonb)', false, 'v', '{service_role}');
ROLLBACK;
