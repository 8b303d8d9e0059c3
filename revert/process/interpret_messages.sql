-- Revert topicbase:process/interpret_messages from pg
BEGIN;
DROP FUNCTION mqtt.interpretations(mqtt.rule_message []);
DROP FUNCTION mqtt.failed_interpretation(mqtt.rule_message, text);
DROP FUNCTION mqtt.interpret_messages(mqtt.rule_message []);
DROP FUNCTION mqtt.interpreted_facts(text, jsonb);
DROP FUNCTION mqtt.message_items(mqtt.payload_rules, jsonb, text);
COMMIT;
