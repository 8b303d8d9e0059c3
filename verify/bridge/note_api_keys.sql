-- Verify topicbase:bridge/note_api_keys on pg
BEGIN;
SELECT mqtt.verify_function('bridge.note_api_keys(uuid [])', true, 'v', '{mqtt_bridge}');
ROLLBACK;
