-- Verify topicbase:tables/cursors on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.encode_cursor(timestamptz, timestamptz, uuid, uuid)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.read_cursor(text)', false, 'i', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.cursor_position(mqtt.message_cursor)', false, 's', '{authenticated,service_role}');
ROLLBACK;
