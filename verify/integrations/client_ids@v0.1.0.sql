-- Verify topicbase:integrations/client_ids on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.is_client_id_free(text, uuid)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.give_client_id()', true, 'v', '{}');
SELECT 1 / (count(*) = 1)::integer FROM pg_catalog.pg_trigger WHERE tgrelid = 'mqtt.mqtt_credentials'::regclass AND tgname = 'a_client_id' AND tgenabled = 'O';
ROLLBACK;
