-- Verify topicbase:bridge/organization_use on pg
BEGIN;
SELECT mqtt.verify_function('bridge.organization_use(integer)', true, 's', '{mqtt_bridge}');
ROLLBACK;
