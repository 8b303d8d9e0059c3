-- Verify topicbase:bridge/reseal on pg
BEGIN;
SELECT mqtt.verify_function('bridge.sealing_state()', true, 's', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.sealed_otherwise(text, uuid, integer)', true, 's', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.reseal(text [], uuid [], jsonb [], jsonb [])', true, 'v', '{mqtt_bridge}');
ROLLBACK;
