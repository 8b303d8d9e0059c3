-- Verify topicbase:bridge/ended_filters on pg
BEGIN;
SELECT mqtt.verify_function('bridge.ended_filters(uuid)', true, 's', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.forget_filters(uuid,uuid[],text[])', true, 'v', '{mqtt_bridge}');
ROLLBACK;
