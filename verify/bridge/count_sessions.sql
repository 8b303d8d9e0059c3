-- Verify topicbase:bridge/count_sessions on pg
BEGIN;
SELECT mqtt.verify_function('bridge.count_sessions(text [], bigint [], double precision [])', true, 'v', '{mqtt_bridge}');
ROLLBACK;
