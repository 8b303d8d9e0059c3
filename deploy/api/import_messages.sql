-- Deploy topicbase:api/import_messages to pg
-- requires: api/decode_import
-- requires: maintenance/close_readings
-- requires: process/reapply_rules
-- requires: process/record_late
-- requires: process/record_stored
-- requires: publish/enqueue_outbound
-- requires: publish/require_open_queue
-- requires: tables/log_activity
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.register_imported(integration mqtt.device_integrations, rows mqtt.imported_message [], sets_latest boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH told AS MATERIALIZED (
        SELECT r.*, sets_latest AND r.role = 'telemetry' AND r.body IS NULL AND NOT r.retain AS is_news
        FROM unnest(rows) AS r
        WHERE r.external_id IS NOT NULL
    ),
    newest AS (
        SELECT DISTINCT ON (t.external_id) t.external_id, t.payload, t.measured_at
        FROM told AS t
        WHERE t.is_news
        ORDER BY t.external_id, t.measured_at DESC, t.position DESC
    ),
    latest AS (
        SELECT t.external_id, jsonb_object_agg(m.metric, jsonb_build_object('value', m.value, 'at', t.measured_at) ORDER BY t.measured_at, t.position) AS latest
        FROM told AS t
        CROSS JOIN LATERAL mqtt.payload_metrics(mqtt.data_of_payload(t.payload, t.measured_at)) AS m
        WHERE t.is_news
        GROUP BY t.external_id
    )
    INSERT INTO mqtt.devices AS d (organization_id, integration_id, external_id, last_data, last_data_at, latest)
    SELECT integration.organization_id, integration.id, e.external_id, n.payload, n.measured_at, coalesce(mqtt.newest_metrics(l.latest), '{}')
    FROM (SELECT DISTINCT t.external_id FROM told AS t) AS e
    LEFT JOIN newest AS n USING (external_id)
    LEFT JOIN latest AS l USING (external_id)
    ORDER BY e.external_id
    ON CONFLICT (organization_id, integration_id, external_id) DO UPDATE SET
        last_data = mqtt.latest_data(d.last_data, d.last_data_at, excluded.last_data, excluded.last_data_at),
        latest = coalesce(mqtt.merged_latest(mqtt.latest_of(d), excluded.latest), '{}'),
        is_data_latest = false,
        last_data_at = greatest(d.last_data_at, excluded.last_data_at);
END;
$$;
COMMENT ON FUNCTION mqtt.register_imported(mqtt.device_integrations, mqtt.imported_message [], boolean) IS
'Registers the devices that imported messages name, with their latest values unless payload rules say what these are; they were not seen by it.';

CREATE OR REPLACE FUNCTION mqtt.insert_imported(integration mqtt.device_integrations, rows mqtt.imported_message [], received_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    WITH message AS MATERIALIZED (
        SELECT r.*, d.id AS device_id
        FROM unnest(rows) AS r
        LEFT JOIN mqtt.devices AS d
            ON d.organization_id = integration.organization_id AND d.integration_id = integration.id AND d.external_id = r.external_id
    ),
    topic AS MATERIALIZED (
        SELECT w.*, t.number
        FROM (SELECT DISTINCT m.topic, m.device_id, m.message_type, m.topic_role FROM message AS m) AS w
        CROSS JOIN LATERAL mqtt.topic_number(integration.organization_id, integration.id, w.topic, w.device_id, w.message_type, w.topic_role) AS t
    ),
    new_topic AS (
        INSERT INTO mqtt.topics (organization_id, number, integration_id, device_id, role, topic, message_type)
        SELECT integration.organization_id, nextval('mqtt.topic_numbers'), integration.id, t.device_id, t.topic_role, t.topic, t.message_type
        FROM topic AS t
        WHERE t.number IS NULL
        RETURNING topic, device_id, message_type, role, number
    ),
    counted AS (
        INSERT INTO mqtt.topic_counts AS c (organization_id, topics)
        SELECT integration.organization_id, count(*) FROM new_topic HAVING count(*) > 0
        ON CONFLICT ON CONSTRAINT topic_counts_pkey DO UPDATE SET topics = c.topics + excluded.topics
    )
    INSERT INTO mqtt.history (
        received_at, measured_at, position, id, organization, topic, stored_after, flags, payload, content_type, body, decode_error, properties
    )
    SELECT insert_imported.received_at, m.measured_at, m.position, m.id, o.number, n.number,
        mqtt.stored_after(insert_imported.received_at, clock_timestamp()), mqtt.history_flags(m.qos, m.retain, false, true, true), m.payload, m.content_type,
        m.body, m.decode_error, m.properties
    FROM message AS m
    JOIN (SELECT * FROM topic AS t WHERE t.number IS NOT NULL UNION ALL SELECT * FROM new_topic) AS n
        ON n.topic = m.topic AND n.device_id IS NOT DISTINCT FROM m.device_id AND n.message_type IS NOT DISTINCT FROM m.message_type
            AND n.topic_role = m.topic_role
    CROSS JOIN mqtt.organizations AS o
    WHERE o.id = integration.organization_id
    ORDER BY m.position;
END;
$$;
COMMENT ON FUNCTION mqtt.insert_imported(mqtt.device_integrations, mqtt.imported_message [], timestamptz) IS
'Inserts imported messages into the history as received then, and their topics where they are new; their devices are registered.';

CREATE OR REPLACE FUNCTION mqtt.store_imported(integration mqtt.device_integrations, rows mqtt.imported_message []) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_at CONSTANT timestamptz := clock_timestamp();
    v_number CONSTANT integer := (SELECT o.number FROM mqtt.organizations AS o WHERE o.id = integration.organization_id);
    v_has_rules CONSTANT boolean := EXISTS (SELECT FROM mqtt.payload_rules AS p WHERE p.integration_id = integration.id);
BEGIN
    -- Rollups begin with what came without being imported, or they would go through all the years before hour by hour: those are late.
    IF NOT EXISTS (SELECT FROM mqtt.rollup_progress AS p WHERE p.organization_id = integration.organization_id) THEN
        INSERT INTO mqtt.rollup_progress (organization_id, closed_until, rolled_until, rolling_until)
        SELECT integration.organization_id, x.at, x.at, x.at
        FROM (SELECT date_trunc('hour', least(mqtt.first_measured_at(integration.organization_id), now()), 'UTC') AS at) AS x
        ON CONFLICT (organization_id) DO NOTHING;
    END IF;
    PERFORM mqtt.register_imported(integration, rows, NOT v_has_rules);
    PERFORM mqtt.insert_imported(integration, rows, v_at);
    IF v_has_rules THEN
        PERFORM mqtt.reapply_rules(ARRAY(SELECT m FROM mqtt.mqtt_messages AS m WHERE m.organization = v_number AND m.received_at = v_at ORDER BY m.position));
    END IF;
    PERFORM mqtt.record_late(ARRAY(
        SELECT ROW(m.topic_number, m.measured_at, m.position)::mqtt.late_reading
        FROM mqtt.readings AS m
        JOIN mqtt.rollup_progress AS p ON p.organization_id = integration.organization_id AND m.measured_at < p.closed_until
        WHERE m.organization = v_number AND m.received_at = v_at
    ));
    PERFORM mqtt.count_accepted(integration.organization_id, cardinality(rows), false);
    PERFORM mqtt.record_stored(
        ROW(
            ARRAY[integration.organization_id], ARRAY[integration.id], ARRAY[NULL]::uuid [], ARRAY[date_trunc('minute', now())],
            ARRAY[cardinality(rows)], ARRAY[v_at], ARRAY[v_at], ARRAY[(SELECT sum(mqtt.message_weight(r.payload, r.body)) FROM unnest(rows) AS r)], NULL, NULL, NULL
        )::mqtt.stored_batch, false
    );
END;
$$;
COMMENT ON FUNCTION mqtt.store_imported(mqtt.device_integrations, mqtt.imported_message []) IS
'Stores imported messages as received now and late, counts them as accepted and completed, and applies the payload rules. The caller has the lock of who processes the organization.';

CREATE OR REPLACE FUNCTION mqtt.require_import_room(organization_id uuid, bytes bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wait CONSTANT integer := (
        SELECT mqtt.take_bytes(o.id, o.max_bytes_per_second, bytes)
        FROM mqtt.organizations AS o
        WHERE o.id = require_import_room.organization_id AND o.max_bytes_per_second IS NOT NULL
    );
BEGIN
    PERFORM mqtt.require_open_queue(require_import_room.organization_id, 'ingest');
    IF v_wait > 0 THEN
        PERFORM mqtt.refuse_for_now('429', 'quota_exceeded', 'More bytes a second than the organization may send.', v_wait);
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_import_room(uuid, bigint) IS
'Counts bytes that are imported against what the organization may send a second: 429 quota_exceeded while it has sent more, 429 queue_paused while its ingest is stopped, as where it fills the disk.';

CREATE OR REPLACE FUNCTION api.import_messages(integration_id uuid, messages json) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_integration CONSTANT mqtt.device_integrations := mqtt.require_integration(import_messages.integration_id, NULL, true);
    v_messages CONSTANT jsonb := mqtt.outbound_array(import_messages.messages, (SELECT c.max_batch_messages FROM mqtt.configuration AS c));
    v_faults CONSTANT text [] := mqtt.judge_import(v_integration, v_messages);
    v_rows mqtt.imported_message [];
    v_stored uuid [];
    v_valid integer;
BEGIN
    PERFORM mqtt.require_import_room(v_integration.organization_id, octet_length(import_messages.messages::text));
    FOR v_try IN 1..10 LOOP
        EXIT WHEN mqtt.lock_processing(v_integration.organization_id, true);
        IF v_try = 10 THEN
            PERFORM mqtt.refuse_for_now('429', 'import_busy', 'The organization''s messages are being processed just now.', 1);
        END IF;
    END LOOP;
    -- Nobody removes unused topics meanwhile.
    PERFORM pg_advisory_xact_lock_shared(mqtt.topics_lock(), hashtext(v_integration.organization_id::text));
    v_rows := mqtt.decode_import(v_integration, v_messages, v_faults);
    v_valid := (SELECT count(*) FROM unnest(v_faults) AS f (slug) WHERE f.slug IS NULL);
    v_stored := mqtt.stored_ids(
        (SELECT o.number FROM mqtt.organizations AS o WHERE o.id = v_integration.organization_id), ARRAY(SELECT r.id FROM unnest(v_rows) AS r)
    );
    v_rows := ARRAY(SELECT r FROM unnest(v_rows) AS r WHERE r.id <> ALL (v_stored) ORDER BY r.position);
    IF v_rows <> '{}' THEN
        PERFORM mqtt.store_imported(v_integration, v_rows);
        PERFORM mqtt.log_activity(
            v_integration.organization_id, v_integration.id, 'messages_imported',
            details => jsonb_build_object('messages', cardinality(v_rows), 'user_id', mqtt.current_user_id())
        );
    END IF;
    RETURN jsonb_build_object(
        'imported', cardinality(v_rows), 'repeated', v_valid - cardinality(v_rows), 'rejected', (
            SELECT coalesce(jsonb_agg(
                jsonb_build_object(
                    'index', f.place - 1, 'code', f.slug, 'message', mqtt.fault_reason(f.slug, v_messages -> (f.place - 1)::integer ->> 'topic')
                ) ORDER BY f.place
            ), '[]')
            FROM unnest(v_faults) WITH ORDINALITY AS f (slug, place)
            WHERE f.slug IS NOT NULL
        )
    );
END;
$$;
COMMENT ON FUNCTION api.import_messages(uuid, json) IS
$md$Import messages that were measured before

For admins. messages are those of `mqtt_ingest_batch`, their `timestamp` being required, up to `max_batch_messages`. They are stored at once, as received now and measured at their timestamp, however long ago that
is: their retention begins now, rollups take them in, and a device's latest values change only by what is newer than they are. Of the quotas, only
`max_bytes_per_second` applies. Nothing is posted to webhooks, and devices are not seen by it. At the hosted broker, topics lie below the organization's prefix. Payload rules are applied.
Answers `{"imported", "repeated", "rejected": [{"index", "code", "message"}]}`. A message whose message_id is stored already is a repeat, and so is one without
message_id that equals a stored one in topic, timestamp and payload: so an import can be run again.
Errors: 400 `messages_invalid`, `messages_empty`, `message_invalid`; 403 `admin_required`; 404 `integration_not_found`; 413 `batch_too_large`; 429 `import_busy`, `queue_paused`, `quota_exceeded`.
Answer: {"imported": "integer", "repeated": "integer", "rejected": [{"index": "integer", "code": "text", "message": "text"}]}$md$;
GRANT EXECUTE ON FUNCTION api.import_messages(uuid, json) TO authenticated, service_role;
COMMIT;
