-- Revert topicbase:brokers/vernemq_view from pg
BEGIN;
DROP VIEW broker.vmq_auth_acl;
COMMIT;
