-- Deploy topicbase:tenants/policies to pg
-- requires: tenants/membership
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE POLICY members_read ON mqtt.organizations FOR SELECT TO authenticated
USING (id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.organizations FOR SELECT TO service_role USING (true);
CREATE POLICY members_read ON mqtt.organization_members FOR SELECT TO authenticated
USING (organization_id = ANY ((SELECT mqtt.current_organization_ids())::uuid []));
CREATE POLICY service_reads ON mqtt.organization_members FOR SELECT TO service_role USING (true);
COMMIT;
