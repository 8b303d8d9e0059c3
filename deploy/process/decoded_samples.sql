-- Deploy topicbase:process/decoded_samples to pg
-- requires: process/decoded_message
-- requires: process/matching_rule
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.decoded_samples(
    organization_id uuid, integration_id uuid, credential_id uuid, message jsonb, body bytea, prepared jsonb, received_at timestamptz, content_type text,
    topic_like text, topic_levels smallint, device_level smallint, message_type_level smallint, has_rules boolean, max_time_behind interval,
    max_time_ahead interval
)
RETURNS TABLE (
    topic text, qos smallint, retain boolean, content_type text, properties jsonb, payload jsonb, body bytea, decode_error text, message_type text,
    topic_role text, sample integer, data jsonb, facts jsonb, external_id text, role text, sent_at timestamptz, measured_at timestamptz, is_retained boolean, is_news boolean,
    is_rule_time boolean
)
LANGUAGE sql STABLE SECURITY INVOKER ROWS 1
BEGIN ATOMIC
    SELECT
        m.topic, m.qos, m.retain, m.content_type, m.properties, m.payload, m.body, coalesce(r.reason, m.decode_error), m.message_type,
        coalesce(r.role, m.topic_role), r.sample, r.data, r.facts,
        s.external_id, s.role, s.sent_at, s.measured_at, s.is_retained,
        mqtt.is_news(decoded_samples.organization_id, decoded_samples.integration_id, s.external_id, s.role, s.is_retained)
        AND (r.sample IS NULL OR r.data IS NOT NULL),
        r.sent_at IS NOT NULL
    FROM mqtt.decoded_message(
        decoded_samples.message, decoded_samples.body, received_at, decoded_samples.content_type, topic_like, topic_levels, device_level,
        message_type_level, max_time_behind, max_time_ahead
    ) AS m
    LEFT JOIN LATERAL (
        SELECT x.*
        FROM mqtt.matching_rule(decoded_samples.integration_id, m.topic, coalesce(prepared, m.payload), decoded_samples.body) AS p
        CROSS JOIN LATERAL unnest(
            mqtt.interpretations(p, m.topic, coalesce(prepared, m.payload), decoded_samples.body, credential_id, received_at => decoded_samples.received_at)
        ) AS x
        -- What is empty tells nothing, whatever its topic.
        WHERE has_rules AND m.role <> 'ignore'
    ) AS r ON true
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN r.sample IS NULL THEN m.external_id ELSE r.external_id END AS external_id, coalesce(r.role, m.role) AS role,
            coalesce(r.sent_at, m.sent_at) AS sent_at, m.retain AND credential_id IS NULL AS is_retained,
            CASE
                WHEN r.sent_at IS NULL THEN m.measured_at
                ELSE mqtt.plausible_time(r.sent_at, received_at, max_time_behind, max_time_ahead)
            END AS measured_at
    ) AS s;
END;
COMMENT ON FUNCTION mqtt.decoded_samples(
    uuid, uuid, uuid, jsonb, bytea, jsonb, timestamptz, text, text, smallint, smallint, smallint, boolean, interval, interval
) IS
'A queued message as mqtt.decoded_message has it, in one row, or, where a payload rule matches it, in a row for each sample in it (sample: its number; data: its metrics, if any). prepared: the payload where mqtt.prepare_sparkplug has decoded it. is_news: whether these are new values of the device; is_rule_time: whether the time is one that the rule found. A part of the statement that asks.';
COMMIT;
