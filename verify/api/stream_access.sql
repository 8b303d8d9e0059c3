-- Verify topicbase:api/stream_access on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.stream_key(text)', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.stream_members(uuid[],uuid[])', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.stream_organizations(jsonb,uuid)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.claimed_integrations(jsonb)', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.count_stream(uuid,integer[],integer[])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.free_connections(uuid,integer)', false, 's', '{}');
ROLLBACK;
