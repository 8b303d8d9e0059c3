-- Deploy topicbase:tables/workers to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.workers (
    bridge_id uuid PRIMARY KEY
);
COMMENT ON TABLE mqtt.workers IS 'Bridges whose queue worker has begun and not worked the queue off yet: one that is gone may have died of a message.';
ALTER TABLE mqtt.workers ENABLE ROW LEVEL SECURITY;
CREATE POLICY service_reads ON mqtt.workers FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.workers TO service_role;
COMMIT;
