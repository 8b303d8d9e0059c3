-- Verify topicbase:bridge_reseal on pg
BEGIN;
SELECT mqtt.verify_function('bridge.sealed_secrets()', true, 's', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.replace_sealed_secret(text, uuid, text, text)', true, 'v', '{mqtt_bridge}');
ROLLBACK;
