-- Revert topicbase:decode_payload from pg
BEGIN;
DROP FUNCTION mqtt.decode_payload(text, bytea);
DROP TYPE mqtt.decoded_payload;
COMMIT;
