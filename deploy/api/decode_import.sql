-- Deploy topicbase:api/decode_import to pg
-- requires: api/imported_message
-- requires: api/judge_import
-- requires: process/decoded_message
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.decode_import(integration mqtt.device_integrations, messages jsonb, faults text []) RETURNS mqtt.imported_message []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Of those with one id the first. A device's time may lie as far back as it likes.
    RETURN ARRAY(
        SELECT
            ROW(
                x.id, nextval('pgmq.q_mqtt_messages_msg_id_seq'), m.topic, m.qos, m.retain, m.content_type, m.payload, m.body, m.decode_error, m.measured_at,
                m.external_id, m.message_type, m.role, m.topic_role, m.properties
            )::mqtt.imported_message
        FROM (
            SELECT DISTINCT ON (y.id) y.*
            FROM (
                SELECT j.*, mqtt.import_id(j.message_id, integration.id, j.topic, j.stamped_at, j.payload, j.body) AS id
                FROM mqtt.judged_messages(messages, '{}', NULL, NULL, NULL) AS j
                WHERE faults[j.ordinality] IS NULL
            ) AS y
            ORDER BY y.id, y.ordinality
        ) AS x
        CROSS JOIN LATERAL mqtt.decoded_message(
            mqtt.message_document(x.topic, CASE WHEN x.body IS NULL THEN x.payload END, x.qos, x.retain, x.content_type, x.stamped_at, x.properties),
            x.body, now(),
            integration.settings ->> 'content_type', integration.topic_like, integration.topic_levels, integration.device_level,
            integration.message_type_level, '5000 years', '5000 years'
        ) AS m
        ORDER BY x.ordinality
    );
END;
$$;
COMMENT ON FUNCTION mqtt.decode_import(mqtt.device_integrations, jsonb, text []) IS
'The messages without a fault, as they will be stored, each id once, in their order.';
COMMIT;
