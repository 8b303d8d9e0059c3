-- Verify topicbase:api/replay_mqtt_dead_letters on pg
BEGIN;
SELECT mqtt.verify_function(
    'api.replay_mqtt_dead_letters(uuid, text, text, timestamptz, timestamptz, uuid[], uuid, jsonb, numeric, boolean, integer)',
    true, 'v', '{authenticated,service_role}'
);
ROLLBACK;
