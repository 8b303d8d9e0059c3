-- Revert topicbase:brokers/go_auth_views from pg
BEGIN;
DROP VIEW broker.go_auth_acl;
DROP VIEW broker.go_auth_user;
COMMIT;
