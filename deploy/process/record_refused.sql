-- Deploy topicbase:process/record_refused to pg
-- requires: ingest/count_messages
-- requires: ingest/message_document
-- requires: tables/integration_activity_log
-- requires: tables/mqtt_callbacks
-- requires: tables/mqtt_dead_letters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.record_refused(messages jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_refused integer;
BEGIN
    INSERT INTO mqtt.mqtt_dead_letters (
        received_at, organization_id, id, integration_id, credential_id, direction, attempts, topic, message, body, error_message, errors
    )
    SELECT
        m.enqueued_at, m.organization_id, m.id, m.integration_id, m.credential_id, 'incoming', 0, m.topic,
        mqtt.message_document(
            m.topic, CASE WHEN m.body IS NULL THEN coalesce(m.payload, 'null') END, m.qos, m.retain, m.content_type, m.sent_at, m.properties
        ), m.body, 'topic_limit_reached',
        jsonb_build_array(jsonb_build_object(
            'at', clock_timestamp(), 'code', 'topic_limit_reached', 'error', 'The organization uses as many topics as configuration.max_topics allows.'
        ))
    FROM jsonb_to_recordset(messages) AS m (
        organization_id uuid, id uuid, integration_id uuid, credential_id uuid, enqueued_at timestamptz, topic text, payload jsonb, body bytea,
        qos integer, retain boolean, content_type text, sent_at timestamptz, properties jsonb
    );
    GET DIAGNOSTICS v_refused = ROW_COUNT;
    WITH refused AS (
        SELECT m.* FROM jsonb_to_recordset(messages) AS m (organization_id uuid, integration_id uuid, id uuid, enqueued_at timestamptz)
    ),
    hooked AS (
        DELETE FROM mqtt.mqtt_callback_deliveries AS d
        USING refused AS r
        WHERE d.organization_id = r.organization_id AND d.created_at >= now() AND d.message_id = r.id
    ),
    marked AS (
        UPDATE mqtt.organizations AS o
        SET has_all_topics = true
        FROM (SELECT DISTINCT r.organization_id FROM refused AS r) AS r
        WHERE o.id = r.organization_id AND NOT o.has_all_topics
    ),
    logged AS (
        INSERT INTO mqtt.integration_activity_log (organization_id, integration_id, direction, message_count, activity_type, status, error_message)
        SELECT r.organization_id, r.integration_id, 'incoming', count(*), 'message_dead', 'failed', 'topic_limit_reached'
        FROM refused AS r
        GROUP BY r.organization_id, r.integration_id
    )
    INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, dead)
    SELECT r.organization_id, date_trunc('minute', r.enqueued_at), mqtt.ledger_level_outcomes(), count(*)
    FROM refused AS r
    GROUP BY r.organization_id, 2
    ORDER BY r.organization_id, 2
    ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET dead = l.dead + excluded.dead;
    RETURN v_refused;
END;
$$;
COMMENT ON FUNCTION mqtt.record_refused(jsonb) IS
'Makes dead letters of messages that mqtt.store_messages has taken and could not store, because their organization uses as many topics as it may; marks the organization, so that HTTP refuses further ones. Returns how many.';
COMMIT;
