-- Deploy topicbase:ingest/device_session to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TYPE mqtt.device_session AS (
    credential_id uuid,
    organization_id uuid,
    integration_id uuid,
    topic_prefix text,
    publish_filters text [],
    max_payload_bytes integer,
    max_batch_messages integer,
    credential_rate numeric,
    credential_burst integer,
    organization_rate numeric,
    organization_burst integer,
    organization_bytes bigint,
    fault text,
    fault_detail text,
    username text
);
COMMIT;
