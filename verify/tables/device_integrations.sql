-- Verify topicbase:tables/device_integrations on pg
BEGIN;
SELECT mqtt.verify_table('mqtt.device_integrations', '{SELECT,INSERT,UPDATE,DELETE}', '{SELECT,INSERT,UPDATE,DELETE}');
SELECT 1 / count(*) FROM pg_catalog.pg_index WHERE indexrelid = 'mqtt.device_integrations_client_id_idx'::regclass AND indisunique;
ROLLBACK;
