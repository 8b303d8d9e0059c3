-- Revert topicbase:maintenance/pack_days from pg
BEGIN;
DROP FUNCTION mqtt.pack_days(integer);
DROP FUNCTION mqtt.pack_next(integer);
DROP FUNCTION mqtt.pack_some(mqtt.packed_days, integer);
DROP FUNCTION mqtt.finish_packing(mqtt.packed_days);
DROP FUNCTION mqtt.pack_messages(mqtt.packed_days, integer);
DROP FUNCTION mqtt.begin_packing();
DROP FUNCTION mqtt.is_trimmed_soon(timestamptz, timestamptz);
DROP FUNCTION mqtt.is_open_before(timestamptz);
COMMIT;
