-- Revert topicbase:base/decoded_payload from pg
BEGIN;
DROP TYPE mqtt.decoded_payload;
COMMIT;
