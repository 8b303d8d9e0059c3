-- Revert topicbase:maintenance/close_readings from pg
BEGIN;
DROP FUNCTION mqtt.close_readings(timestamptz);
DROP FUNCTION mqtt.try_close(uuid, timestamptz, timestamptz);
DROP FUNCTION mqtt.try_closable(uuid, timestamptz, timestamptz);
DROP FUNCTION mqtt.lock_processing(uuid, boolean);
DROP FUNCTION mqtt.first_measured_at(uuid);
DROP FUNCTION mqtt.closable_until(uuid, timestamptz);
COMMIT;
