-- Verify topicbase:bridge/forget_batches on pg
BEGIN;
SELECT mqtt.verify_function('bridge.forget_batches(uuid,bigint[])', true, 'v', '{mqtt_bridge}');
ROLLBACK;
