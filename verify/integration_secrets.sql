-- Verify topicbase:integration_secrets on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.sealed(text, text)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.sealed_setting(text, jsonb)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.visible_settings(jsonb)', false, 'i', '{authenticated,service_role}');
ROLLBACK;
