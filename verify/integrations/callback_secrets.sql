-- Verify topicbase:integrations/callback_secrets on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.set_callback_secret(uuid, uuid, jsonb, interval, boolean)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
