-- Revert topicbase:tables/api_key_policies from pg
BEGIN;
DROP POLICY api_keys ON mqtt.organization_members;
DROP POLICY api_keys ON mqtt.ledger;
DROP POLICY api_keys ON mqtt.mqtt_callback_deliveries;
DROP POLICY api_keys ON mqtt.deletions;
DROP POLICY api_keys ON mqtt.integration_activity_log;
DROP POLICY api_keys ON mqtt.topics;
DROP POLICY api_keys ON mqtt.mqtt_requests;
DROP POLICY api_keys ON mqtt.mqtt_publish_receipts;
DROP POLICY api_keys ON mqtt.mqtt_dead_letters;
DROP POLICY api_keys ON mqtt.mqtt_credentials;
DROP POLICY api_keys ON mqtt.mqtt_subscriptions;
DROP POLICY api_keys ON mqtt.payload_rules;
DROP POLICY api_keys ON mqtt.devices;
DROP POLICY api_keys ON mqtt.device_integrations;
COMMIT;
