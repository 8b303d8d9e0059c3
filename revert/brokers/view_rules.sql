-- Revert topicbase:brokers/view_rules from pg
BEGIN;
REVOKE EXECUTE ON FUNCTION mqtt.access_rules(mqtt.mqtt_credentials), mqtt.topic_is_under(text, text), mqtt.topic_filter_reason(text),
mqtt.topic_name_reason(text), mqtt.is_plain_topic(text), mqtt.has_forbidden_character(text) FROM rabbitmq_reader, emqx_reader, vernemq_reader, go_auth_reader;
DROP FUNCTION mqtt.verify_broker_view(regclass, text []);
DROP FUNCTION mqtt.admits_hash(text);
DROP FUNCTION mqtt.has_placeholder(text);
DROP FUNCTION mqtt.is_valid_now(mqtt.mqtt_credentials);
COMMIT;
