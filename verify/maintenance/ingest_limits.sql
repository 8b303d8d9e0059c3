-- Verify topicbase:maintenance/ingest_limits on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.free_disk_bytes()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.count_outbound(bigint)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.check_intake()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.check_organizations_intake()', false, 'v', '{}');
ROLLBACK;
