-- Verify topicbase:api/delete_messages on pg
BEGIN;
SELECT mqtt.verify_function(
    'api.delete_messages(uuid, text, text, timestamptz, timestamptz, text, uuid)', false, 'v', '{authenticated,service_role}'
);
SELECT mqtt.verify_function('mqtt.check_deletion(text, timestamptz, timestamptz, text, boolean)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function('mqtt.book_deletion(mqtt.deletions)', true, 'v', '{authenticated,service_role}');
ROLLBACK;
