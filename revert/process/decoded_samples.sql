-- Revert topicbase:process/decoded_samples from pg
BEGIN;
DROP FUNCTION mqtt.decoded_samples(
    uuid, uuid, uuid, jsonb, bytea, jsonb, timestamptz, text, text, smallint, smallint, smallint, boolean, interval, interval
);
COMMIT;
