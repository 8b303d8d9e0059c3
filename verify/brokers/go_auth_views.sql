-- Verify topicbase:brokers/go_auth_views on pg
BEGIN;
SELECT mqtt.verify_broker_view('broker.go_auth_user', '{go_auth_reader}');
SELECT mqtt.verify_broker_view('broker.go_auth_acl', '{go_auth_reader}');
ROLLBACK;
