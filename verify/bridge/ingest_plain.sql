-- Verify topicbase:bridge/ingest_plain on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.ingest_plain(uuid[], uuid [], integer [], text [], bytea [], smallint [], boolean [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.not_held(uuid[], uuid[])', false, 'i', '{}');
ROLLBACK;
