-- Deploy topicbase:tables/api_key_policies to pg
-- requires: tables/deletions
-- requires: tables/integration_activity_log
-- requires: tables/ledger
-- requires: tables/mqtt_callbacks
-- requires: tables/mqtt_credentials
-- requires: tables/mqtt_dead_letters
-- requires: tables/mqtt_publish_receipts
-- requires: tables/mqtt_requests
-- requires: tables/payload_rules
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Beside the policies that say whose rows a caller sees: of an API key for some integrations, only theirs. For every other caller the list is null,
-- and so is the comparison.
CREATE POLICY api_keys ON mqtt.device_integrations AS RESTRICTIVE TO authenticated
USING ((id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE)
WITH CHECK ((id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
CREATE POLICY api_keys ON mqtt.devices AS RESTRICTIVE TO authenticated
USING ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE)
WITH CHECK ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
CREATE POLICY api_keys ON mqtt.payload_rules AS RESTRICTIVE TO authenticated
USING ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE)
WITH CHECK ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
CREATE POLICY api_keys ON mqtt.mqtt_subscriptions AS RESTRICTIVE TO authenticated
USING ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE)
WITH CHECK ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
CREATE POLICY api_keys ON mqtt.mqtt_credentials AS RESTRICTIVE FOR SELECT TO authenticated
USING ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
CREATE POLICY api_keys ON mqtt.mqtt_dead_letters AS RESTRICTIVE FOR SELECT TO authenticated
USING ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
CREATE POLICY api_keys ON mqtt.mqtt_publish_receipts AS RESTRICTIVE FOR SELECT TO authenticated
USING ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
CREATE POLICY api_keys ON mqtt.mqtt_requests AS RESTRICTIVE FOR SELECT TO authenticated
USING ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
-- The history and the readings are read through the topics of their rows.
CREATE POLICY api_keys ON mqtt.topics AS RESTRICTIVE FOR SELECT TO authenticated
USING ((integration_id = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
CREATE POLICY api_keys ON mqtt.integration_activity_log AS RESTRICTIVE FOR SELECT TO authenticated
USING ((coalesce(integration_id, '00000000-0000-0000-0000-000000000000') = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
CREATE POLICY api_keys ON mqtt.deletions AS RESTRICTIVE FOR SELECT TO authenticated
USING ((coalesce(integration_id, '00000000-0000-0000-0000-000000000000') = ANY ((SELECT mqtt.key_integration_ids())::uuid [])) IS NOT FALSE);
-- These know no integration.
CREATE POLICY api_keys ON mqtt.mqtt_callback_deliveries AS RESTRICTIVE FOR SELECT TO authenticated
USING ((SELECT mqtt.key_integration_ids()) IS NULL);
CREATE POLICY api_keys ON mqtt.ledger AS RESTRICTIVE FOR SELECT TO authenticated
USING ((SELECT mqtt.key_integration_ids()) IS NULL);
CREATE POLICY api_keys ON mqtt.organization_members AS RESTRICTIVE FOR SELECT TO authenticated
USING ((SELECT mqtt.key_integration_ids()) IS NULL);
COMMIT;
