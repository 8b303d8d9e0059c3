-- Verify topicbase:brokers/broker_integrations on pg
BEGIN;
SELECT organization_id, id, is_hosted, is_on, is_heard FROM mqtt.broker_integrations WHERE false;
ROLLBACK;
