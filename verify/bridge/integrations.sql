-- Verify topicbase:bridge/integrations on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.take_lease(uuid, uuid, uuid)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.surplus_of_organizations()', true, 's', '{}');
SELECT mqtt.verify_function('bridge.take_integrations(uuid)', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.release_integrations(uuid, uuid [])', true, 'v', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.integrations(uuid, jsonb)', true, 's', '{mqtt_bridge}');
SELECT mqtt.verify_function('bridge.surplus_integrations(uuid)', true, 'v', '{mqtt_bridge}');
ROLLBACK;
