-- Revert topicbase:api/create_stream_ticket from pg
BEGIN;
DROP FUNCTION mqtt.redeem_stream_ticket(text);
DROP FUNCTION api.create_stream_ticket();
COMMIT;
