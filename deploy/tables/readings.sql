-- Deploy topicbase:tables/readings to pg
-- requires: base/parse_values
-- requires: tables/mqtt_messages
-- requires: tables/reading_rows
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE VIEW mqtt.readings WITH (security_invoker = true) AS
SELECT
    t.organization_id, t.integration_id, t.device_id, h.id AS message_id, t.message_type,
    CASE WHEN h.payload = 'null' THEN 'ignore' ELSE t.role END AS role, h.received_at, h.measured_at, h.position,
    mqtt.data_of_payload(h.payload, CASE WHEN h.flags & 32 = 32 THEN h.measured_at ELSE h.sent_at END) AS payload, h.topic AS topic_number,
    h.organization, false AS is_packed, NULL::bigint AS pack, h.received_at AS first_received_at, h.received_at AS last_received_at,
    h.measured_at AS first_measured_at, h.measured_at AS last_measured_at
FROM mqtt.history AS h
INNER JOIN mqtt.topics AS t ON t.number = h.topic
WHERE h.flags & 8 = 0 AND t.device_id IS NOT NULL AND h.body IS NULL AND h.flags & 64 = 0
    AND (h.received_at AT TIME ZONE 'UTC')::date <> ALL (ARRAY(SELECT d.day FROM mqtt.packed_days AS d WHERE d.state = 'packed'))
UNION ALL
SELECT
    t.organization_id, t.integration_id, t.device_id, p.id, t.message_type, CASE WHEN p.payload = 'null' THEN 'ignore' ELSE t.role END, p.received_at,
    p.measured_at, p.position, mqtt.data_of_payload(p.payload, CASE WHEN p.flags & 32 = 32 THEN p.measured_at ELSE p.sent_at END), p.topic,
    p.organization, true, p.pack, p.first_received_at, p.last_received_at, p.first_measured_at, p.last_measured_at
FROM mqtt.packed_history AS p
INNER JOIN mqtt.topics AS t ON t.number = p.topic
WHERE p.flags & 8 = 0 AND t.device_id IS NOT NULL AND p.body IS NULL AND p.flags & 64 = 0
UNION ALL
SELECT
    t.organization_id, t.integration_id, t.device_id, r.id AS message_id, t.role AS message_type, t.role, r.received_at, r.measured_at, r.position,
    r.payload, r.topic AS topic_number, r.organization, false AS is_packed, NULL::bigint AS pack, r.received_at AS first_received_at,
    r.received_at AS last_received_at, r.measured_at AS first_measured_at, r.measured_at AS last_measured_at
FROM mqtt.reading_rows AS r
INNER JOIN mqtt.topics AS t ON t.number = r.topic
WHERE t.device_id IS NOT NULL;
COMMENT ON VIEW mqtt.readings IS
'What devices measured: the one relation that every query of readings goes through. A row for each message with its role, whose metrics mqtt.metric_values finds in its payload, which is without the member that is its time; and a row for each sample that a payload rule found in a message (message_id: the first has that of the message). In order by (measured_at, position) or (received_at, position); position never leaves the database, as it counts the messages of all organizations. The indexes that serve it are (topic_number, measured_at), where topic_number are those of mqtt.topics with the device, and (organization, received_at). Of packed days these are of first_received_at and so on, as in mqtt.mqtt_messages.';
GRANT SELECT ON mqtt.readings TO authenticated, service_role;

CREATE OR REPLACE FUNCTION mqtt.metric(payload jsonb, name text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN jsonb_typeof(payload) = 'object' THEN coalesce(payload -> name, CASE WHEN name LIKE '%.%' THEN payload #> string_to_array(name, '.') END)
        WHEN name = 'value' THEN payload
    END;
END;
COMMENT ON FUNCTION mqtt.metric(jsonb, text) IS
'A metric of a payload by its name: a member, or a nested one by its path, with dots; value for a payload that is not an object; null if there is none.';

CREATE OR REPLACE FUNCTION mqtt.has_metric(payload jsonb, names text []) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN names IS NULL THEN true
        WHEN jsonb_typeof(payload) <> 'object' THEN 'value' = ANY (names)
        ELSE payload ?| names OR EXISTS (SELECT FROM unnest(names) AS n (name) WHERE n.name LIKE '%.%' AND mqtt.metric(payload, n.name) IS NOT NULL)
    END;
END;
COMMENT ON FUNCTION mqtt.has_metric(jsonb, text []) IS 'Whether a payload has one of these metrics (null: any).';

CREATE OR REPLACE FUNCTION mqtt.is_named(metric text, names text []) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT names IS NULL OR metric = ANY (names) OR EXISTS (SELECT FROM unnest(names) AS n (name) WHERE starts_with(metric, n.name || '.'));
END;
COMMENT ON FUNCTION mqtt.is_named(text, text []) IS 'Whether a metric is one of those named (null: all), or below one of them.';

CREATE OR REPLACE FUNCTION mqtt.metric_values(payload jsonb, names text []) RETURNS TABLE (metric text, value jsonb)
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE ROWS 5
BEGIN ATOMIC
    SELECT m.metric, m.value
    FROM (
        SELECT n.name AS key, CASE jsonb_typeof(payload) WHEN 'object' THEN payload -> n.name ELSE CASE n.name WHEN 'value' THEN payload END END AS value, true AS is_named
        FROM unnest(names) AS n (name)
        -- Conditions of names alone, which spare the rest where they are not met.
        UNION ALL
        SELECT e.key, e.value, true
        FROM jsonb_each(CASE jsonb_typeof(payload) WHEN 'object' THEN payload ELSE jsonb_build_object('value', payload) END) AS e
        WHERE names IS NULL
        UNION ALL
        SELECT e.key, e.value, false
        FROM jsonb_each(CASE jsonb_typeof(payload) WHEN 'object' THEN payload END) AS e
        WHERE array_to_string(names, ' ') LIKE '%.%' AND jsonb_typeof(e.value) = 'object' AND e.key <> ALL (names)
    ) AS a
    -- Apart, so that a plain member costs no call of jsonb_each.
    CROSS JOIN LATERAL (
        SELECT a.key AS metric, a.value
        WHERE jsonb_typeof(a.value) <> 'object'
        UNION ALL
        SELECT concat_ws('.', a.key, b.key, c.key), coalesce(c.value, b.value)
        -- A long key is a part of the name of each member below it: 82 KB would become 140 MB.
        FROM jsonb_each(CASE WHEN jsonb_typeof(a.value) = 'object' AND octet_length(a.key) < 255 THEN a.value END) AS b
        LEFT JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(b.value) = 'object' AND octet_length(b.key) < 255 THEN b.value END) AS c ON true
        WHERE jsonb_typeof(a.value) = 'object' AND jsonb_typeof(coalesce(c.value, b.value)) <> 'object'
            AND octet_length(a.key) + octet_length(b.key) + coalesce(octet_length(c.key) + 1, 0) < 255
            AND (a.is_named OR mqtt.is_named(concat_ws('.', a.key, b.key, c.key), names))
    ) AS m;
END;
COMMENT ON FUNCTION mqtt.metric_values(jsonb, text []) IS
'The metrics of a payload, nested members by their path with dots, at most three levels deep and of 255 bytes; {"value": payload} if it is not an object. If names are given, those named and those below them.';

CREATE OR REPLACE FUNCTION mqtt.metric_number(value jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE jsonb_typeof(value)
        WHEN 'number' THEN value::numeric
        -- The spaces that a cast takes: \s is those of Unicode, too.
        WHEN 'string' THEN CASE
            WHEN length(value #>> '{}') <= 60 AND (value #>> '{}') ~ '^[ \t\n\r\f\v]*[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?[ \t\n\r\f\v]*$' THEN (value #>> '{}')::numeric
        END
    END;
END;
COMMENT ON FUNCTION mqtt.metric_number(jsonb) IS 'A number, or a string that is one, such as "21.5"; null for anything else.';
GRANT EXECUTE ON FUNCTION mqtt.metric(jsonb, text), mqtt.has_metric(jsonb, text []),
mqtt.is_named(text, text []), mqtt.metric_values(jsonb, text []), mqtt.metric_number(jsonb) TO authenticated, service_role;
COMMIT;
