-- Revert topicbase:process/interpretation from pg
BEGIN;
DROP TYPE mqtt.found_metrics;
DROP TYPE mqtt.sparkplug_message;
DROP TYPE mqtt.interpretation;
DROP TYPE mqtt.raw_payload;
DROP TYPE mqtt.rule_message;
COMMIT;
