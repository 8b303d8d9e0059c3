-- Revert topicbase:base/decode_payload from pg
BEGIN;
DROP FUNCTION mqtt.decode_payload(text, bytea);
DROP FUNCTION mqtt.untyped_payload(bytea, text);
DROP FUNCTION mqtt.payload_form(text);
DROP FUNCTION mqtt.media_type(text);
COMMIT;
