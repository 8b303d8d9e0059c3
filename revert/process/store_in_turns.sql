-- Revert topicbase:process/store_in_turns from pg
BEGIN;
DROP FUNCTION mqtt.store_in_turns(tid []);
DROP FUNCTION mqtt.remember_costs(jsonb, jsonb, double precision);
DROP FUNCTION mqtt.store_part(tid [], double precision, timestamptz);
DROP FUNCTION mqtt.batch_parts(tid []);
DROP FUNCTION mqtt.store_or_split(tid []);
COMMIT;
