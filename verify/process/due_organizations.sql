-- Verify topicbase:process/due_organizations on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.sweep_queue(uuid, timestamptz, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.newest_in_queue(jsonb, bigint, timestamptz, interval, integer)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.lock_organizations(jsonb, uuid, timestamptz, integer, integer, integer, uuid [])', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.wait_for_organization(uuid, timestamptz, timestamptz)', true, 'v', '{}');
ROLLBACK;
