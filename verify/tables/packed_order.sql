-- Verify topicbase:tables/packed_order on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.packed_edge(integer [], integer [], timestamptz, timestamptz, boolean, integer)', false, 's', '{authenticated,service_role}');
SELECT mqtt.verify_function(
    'mqtt.packed_readings_of_topic(integer, timestamptz, timestamptz, timestamptz, bigint, text, text [], text [], integer)',
    false, 's', '{authenticated,service_role}'
);
SELECT mqtt.verify_function(
    'mqtt.packed_readings_received(integer, integer [], timestamptz, timestamptz, timestamptz, bigint, text, text [], text [], integer)',
    false, 's', '{authenticated,service_role}'
);
ROLLBACK;
