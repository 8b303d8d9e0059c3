-- Verify topicbase:bridge/store_delivered on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.fewest_stored()', false, 'i', '{}');
SELECT mqtt.verify_function('mqtt.plain_integrations(uuid [], uuid [], integer [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.decoded_payloads(bytea [], integer [], integer [])', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.plain_messages(uuid [], uuid [], integer [], text [], bytea [], integer [])', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.store_delivered(uuid [], uuid [], integer [], text [], bytea [], smallint [], boolean [])', false, 'v', '{}');
ROLLBACK;
