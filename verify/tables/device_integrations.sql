-- Verify topicbase:tables/device_integrations on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.device_integrations', '{SELECT,INSERT,UPDATE,DELETE}', '{SELECT,INSERT,UPDATE,DELETE}');
SELECT mqtt.verify_function('mqtt.bridge_client_id(uuid, jsonb)', false, 'i', '{authenticated,service_role}');
SELECT 1 / count(*) FROM pg_catalog.pg_index WHERE indexrelid = 'mqtt.device_integrations_client_id_idx'::regclass AND indisunique;
ROLLBACK;
