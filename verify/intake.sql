-- Verify topicbase:intake on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.free_disk_bytes()', true, 'v', '{}');
SELECT mqtt.verify_function('mqtt.count_outbound(bigint)', true, 's', '{}');
SELECT mqtt.verify_function('mqtt.check_intake()', true, 'v', '{}');
SELECT mqtt.verify_function('api.set_organization_limits(uuid, numeric, integer, bigint, integer, integer, integer, integer)', true, 'v', '{service_role}');
ROLLBACK;
