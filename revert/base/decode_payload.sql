-- Revert topicbase:base/decode_payload from pg
BEGIN;
DROP FUNCTION mqtt.decode_payload(text, bytea);
COMMIT;
