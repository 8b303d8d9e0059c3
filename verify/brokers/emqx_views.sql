-- Verify topicbase:brokers/emqx_views on pg
BEGIN;
SELECT mqtt.verify_broker_view('broker.emqx_user', '{emqx_reader}');
SELECT mqtt.verify_broker_view('broker.emqx_acl', '{emqx_reader}');
ROLLBACK;
