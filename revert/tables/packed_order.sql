-- Revert topicbase:tables/packed_order from pg
BEGIN;
DROP FUNCTION mqtt.packed_readings_received(integer, integer [], timestamptz, timestamptz, timestamptz, bigint, text, text [], text [], integer);
DROP FUNCTION mqtt.packed_readings_of_topic(integer, timestamptz, timestamptz, timestamptz, bigint, text, text [], text [], integer);
DROP FUNCTION mqtt.packed_edge(integer [], integer [], timestamptz, timestamptz, boolean, integer);
COMMIT;
