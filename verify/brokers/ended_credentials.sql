-- Verify topicbase:brokers/ended_credentials on pg
BEGIN;
SELECT mqtt.verify_broker_view('broker.ended_credentials', '{emqx_reader,go_auth_reader,rabbitmq_reader,vernemq_reader}');
ROLLBACK;
