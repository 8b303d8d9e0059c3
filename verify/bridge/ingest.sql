-- Verify topicbase:bridge/ingest on pg
BEGIN;
SELECT mqtt.verify_function(
    'bridge.ingest(uuid, uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer [])', true, 'v', '{mqtt_bridge}'
);
SELECT mqtt.verify_function(
    'mqtt.ingest_deliveries(uuid [], uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer [])', false, 'v', '{}'
);
ROLLBACK;
