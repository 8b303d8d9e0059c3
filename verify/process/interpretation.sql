-- Verify topicbase:process/interpretation on pg
BEGIN;
SELECT NULL::mqtt.rule_message, NULL::mqtt.interpretation, NULL::mqtt.raw_payload, NULL::mqtt.sparkplug_message, NULL::mqtt.found_metrics;
ROLLBACK;
