-- Revert topicbase:api/views from pg
BEGIN;
DROP VIEW api.devices;
DROP VIEW api.mqtt_subscriptions;
DROP VIEW api.mqtt_credentials;
DROP VIEW api.device_integrations;
DROP VIEW api.organization_members;
DROP VIEW api.organizations;
COMMIT;
