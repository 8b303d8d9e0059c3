-- Verify topicbase:brokers/rabbitmq_auth on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.plain_verdict(boolean)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.rabbitmq_login()', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.topic_of_routing_key(text, boolean)', false, 'i', '{}');
SELECT mqtt.verify_function('api.rabbitmq_auth_user(text, text, text, text, text, text)', true, 'v', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('api.rabbitmq_auth_vhost(text, text, text, text, text)', true, 's', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function('api.rabbitmq_auth_resource(text, text, text, text, text, text, text)', true, 's', '{anon,authenticated,service_role}');
SELECT mqtt.verify_function(
    'api.rabbitmq_auth_topic(text, text, text, text, text, text, text, text, text, text)', true, 's', '{anon,authenticated,service_role}'
);
ROLLBACK;
