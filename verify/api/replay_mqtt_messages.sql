-- Verify topicbase:api/replay_mqtt_messages on pg
BEGIN;
SELECT mqtt.verify_function(
    'api.replay_mqtt_messages(uuid, text, timestamptz, timestamptz, uuid, text, numeric, boolean, integer)', true, 'v', '{authenticated,service_role}'
);
ROLLBACK;
