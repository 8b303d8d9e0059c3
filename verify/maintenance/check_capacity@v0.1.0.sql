-- Verify topicbase:maintenance/check_capacity on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.free_disk_bytes()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.count_outbound(bigint)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.check_capacity()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.largest_writers()', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.organization_depths(bigint, uuid [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.check_organization_queues(bigint, uuid [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.check_organization_publishing(bigint, uuid [])', false, 'v', '{}');
ROLLBACK;
