-- Deploy topicbase:tenants/operators to pg
-- requires: tenants/membership
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE TABLE mqtt.operators (
    user_id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE mqtt.operators IS
'Users (the sub of their JWT) who run the installation: they may create organizations and see its bridges and queues, but of organizations only those that they belong to. Rows are set by SQL alone.';
ALTER TABLE mqtt.operators ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_row ON mqtt.operators FOR SELECT TO authenticated
USING (user_id = (SELECT mqtt.current_user_id()));
CREATE POLICY service_reads ON mqtt.operators FOR SELECT TO service_role USING (true);
GRANT SELECT ON mqtt.operators TO authenticated, service_role;
COMMIT;
