-- Revert topicbase:brokers/emqx_views from pg
BEGIN;
DROP VIEW broker.emqx_acl;
DROP VIEW broker.emqx_user;
COMMIT;
