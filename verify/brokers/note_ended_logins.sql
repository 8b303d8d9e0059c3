-- Verify topicbase:brokers/note_ended_logins on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.note_deleted_logins()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.note_switched_off_logins()', true, 'v', '{}');
SELECT 1 / count(*) FROM pg_catalog.pg_trigger AS t WHERE t.tgname = 'note_deleted_logins' AND t.tgrelid = 'mqtt.mqtt_credentials'::regclass;
SELECT 1 / count(*) FROM pg_catalog.pg_trigger AS t WHERE t.tgname = 'note_switched_off_logins' AND t.tgrelid = 'mqtt.device_integrations'::regclass;
ROLLBACK;
