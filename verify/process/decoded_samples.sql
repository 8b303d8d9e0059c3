-- Verify topicbase:process/decoded_samples on pg
BEGIN;
SELECT mqtt.verify_function(
    'mqtt.decoded_samples(uuid, uuid, uuid, jsonb, bytea, jsonb, timestamptz, text, text, smallint, smallint, smallint, boolean, interval, interval)', false, 's', '{}'
);
ROLLBACK;
