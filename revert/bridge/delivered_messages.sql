-- Revert topicbase:bridge/delivered_messages from pg
BEGIN;
DROP FUNCTION mqtt.delivered_messages(uuid [], uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer []);
COMMIT;
