-- Revert topicbase:bridge/matched_filters from pg
BEGIN;
DROP FUNCTION mqtt.matched_filters(uuid [], uuid [], integer [], text [], smallint [], boolean [], integer []);
COMMIT;
