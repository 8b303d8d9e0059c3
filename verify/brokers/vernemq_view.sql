-- Verify topicbase:brokers/vernemq_view on pg
BEGIN;
SELECT mqtt.verify_broker_view('broker.vmq_auth_acl', '{vernemq_reader}');
ROLLBACK;
