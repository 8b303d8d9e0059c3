-- Verify topicbase:api/list_messages on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.check_message_request(text, text, text, integer)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function(
    'api.list_messages(uuid, uuid, text, text, text, uuid, text, timestamptz, timestamptz, text, integer, integer, boolean, timestamptz)',
    false, 's', '{authenticated,service_role}'
);
ROLLBACK;
