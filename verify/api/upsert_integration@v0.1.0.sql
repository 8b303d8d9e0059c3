-- Verify topicbase:api/upsert_integration on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.integration_json(mqtt.device_integrations)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.require_integration_room(uuid)', true, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.upsert_integration(uuid, text, text, jsonb, uuid, text)', false, 'v', '{authenticated,service_role}');
SELECT mqtt.verify_function('api.delete_integration(uuid)', false, 'v', '{authenticated,service_role}');
ROLLBACK;
