-- Revert topicbase:bridge/ingest from pg
BEGIN;
DROP FUNCTION bridge.ingest(uuid, uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer []);
DROP FUNCTION mqtt.ingest_deliveries(uuid [], uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer []);
COMMIT;
