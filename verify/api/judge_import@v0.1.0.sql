-- Verify topicbase:api/judge_import on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.judge_import(mqtt.device_integrations, jsonb)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.stored_ids(integer, uuid [])', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.import_id(text, uuid, text, timestamptz, jsonb, bytea)', false, 'i', '{}');
ROLLBACK;
