-- Deploy topicbase:ingest/topic_limit to pg
-- requires: ingest/device_session
-- requires: tables/topic_numbers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_topic_refused(session mqtt.device_session, topic text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT o.has_all_topics FROM mqtt.organizations AS o WHERE o.id = session.organization_id)
        AND NOT mqtt.is_topic_known(session.organization_id, session.integration_id, is_topic_refused.topic);
END;
$$;
COMMENT ON FUNCTION mqtt.is_topic_refused(mqtt.device_session, text) IS
'Whether the organization uses as many topics as it may, and this is not one of them.';
COMMIT;
