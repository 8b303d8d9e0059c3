-- Deploy topicbase:bridge/delivered_messages to pg
-- requires: base/configuration
-- requires: base/parse_values
-- requires: bridge/matched_filters
-- requires: ingest/message_document
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.delivered_messages(
    owners uuid [], integration_ids uuid [], integration_numbers integer [], topics text [], payloads bytea [], qos smallint [], retains boolean [],
    content_types text [], properties jsonb [], faults text [], subscription_numbers integer []
)
RETURNS TABLE (
    organization_id uuid, integration_id uuid, topic text, payload bytea, place bigint, message jsonb, message_id uuid, fault text, is_copy boolean
)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT
        owners[m.number], integration_ids[m.number], m.topic, m.payload, m.place,
        mqtt.message_document(m.topic, NULL, m.qos, m.retain, m.content_type, NULL, m.properties),
        CASE WHEN m.properties ? 'user_properties' THEN (
            SELECT (p.value ->> 1)::uuid
            FROM jsonb_array_elements(m.properties -> 'user_properties') AS p
            WHERE p.value ->> 0 = 'message_id' AND mqtt.is_uuid(p.value ->> 1)
            LIMIT 1
        ) END,
        CASE
            WHEN m.fault IS NOT NULL THEN m.fault
            WHEN octet_length(m.payload) > m.max_bytes
                THEN format('The payload has %s bytes; this installation takes at most %s.', octet_length(m.payload), m.max_bytes)
            -- Topics that start with $ are a broker's reports about itself: accepted, although nobody may publish to them.
            ELSE mqtt.topic_name_reason(regexp_replace(m.topic, '^\$', ''))
        END,
        m.is_copy
    FROM (
        SELECT
            d.number, d.topic, d.payload, d.qos, d.retain, d.content_type, d.fault, d.place, d.max_bytes, coalesce(f.is_copy, false) AS is_copy,
            CASE WHEN f.ids IS NULL THEN d.properties ELSE coalesce(d.properties, '{}') || jsonb_build_object('subscription_ids', f.ids) END AS properties
        FROM (
            SELECT u.*, c.max_payload_bytes AS max_bytes
            FROM unnest(integration_numbers, topics, payloads, delivered_messages.qos, retains, content_types, delivered_messages.properties, faults)
            WITH ORDINALITY AS u (number, topic, payload, qos, retain, content_type, properties, fault, place)
            CROSS JOIN mqtt.configuration AS c
            WHERE owners[u.number] IS NOT NULL
            OFFSET 0
        ) AS d
        LEFT JOIN mqtt.matched_filters(
            owners, integration_ids, integration_numbers, topics, delivered_messages.qos, retains, subscription_numbers
        ) AS f ON f.place = d.place
        OFFSET 0
    ) AS m;
END;
COMMENT ON FUNCTION mqtt.delivered_messages(uuid [], uuid [], integer [], text [], bytea [], smallint [], boolean [], text [], jsonb [], text [], integer []) IS
'What a bridge hands to bridge.ingest, of the integrations that have an owner (their organization, by place): where each message belongs, as it stands in the queue, the message_id that its user properties name, in words why it cannot be queued, and whether it is a copy to be left out. Inlined into the statement that calls it.';
COMMIT;
