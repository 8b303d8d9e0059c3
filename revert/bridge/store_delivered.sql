-- Revert topicbase:bridge/store_delivered from pg
BEGIN;
DROP FUNCTION mqtt.store_delivered(uuid [], uuid [], integer [], text [], bytea [], smallint [], boolean []);
DROP FUNCTION mqtt.plain_messages(uuid [], uuid [], integer [], text [], bytea [], integer []);
DROP FUNCTION mqtt.decoded_payloads(bytea [], integer [], integer []);
DROP FUNCTION mqtt.plain_integrations(uuid [], uuid [], integer []);
DROP FUNCTION mqtt.fewest_stored();
COMMIT;
