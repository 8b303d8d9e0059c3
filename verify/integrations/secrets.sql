-- Verify topicbase:integrations/secrets on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.sealed(text, text)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.sealing_key_id(bytea)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.is_resealed(jsonb, jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.sealed_setting(text, jsonb)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.visible_settings(jsonb)', false, 'i', '{authenticated,service_role}');
ROLLBACK;
