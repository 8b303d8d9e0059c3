-- Verify topicbase:integrations/triggers on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.check_integration()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.check_client_id()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.integration_changed()', true, 'v', '{}');
SELECT 1 / (count(*) = 3)::integer FROM pg_catalog.pg_trigger WHERE tgrelid = 'mqtt.device_integrations'::regclass AND tgname IN ('a_check', 'b_client_id', 'z_changed');
ROLLBACK;
