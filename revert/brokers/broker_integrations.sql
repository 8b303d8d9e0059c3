-- Revert topicbase:brokers/broker_integrations from pg
BEGIN;
DROP VIEW mqtt.broker_integrations;
COMMIT;
