-- Revert topicbase:brokers/rabbitmq_auth from pg
BEGIN;
DROP FUNCTION api.rabbitmq_auth_topic(text, text, text, text, text, text, text, text, text, text);
DROP FUNCTION api.rabbitmq_auth_resource(text, text, text, text, text, text, text);
DROP FUNCTION api.rabbitmq_auth_vhost(text, text, text, text, text);
DROP FUNCTION api.rabbitmq_auth_user(text, text, text, text, text, text);
DROP FUNCTION mqtt.topic_of_routing_key(text, boolean);
DROP FUNCTION mqtt.rabbitmq_login();
DROP FUNCTION mqtt.plain_verdict(boolean);
COMMIT;
