-- Revert topicbase:bridge/ingest_plain from pg
BEGIN;
DROP FUNCTION mqtt.ingest_plain(uuid [], uuid [], integer [], text [], bytea [], smallint [], boolean []);
DROP FUNCTION mqtt.not_held(uuid [], uuid []);
COMMIT;
