-- Revert topicbase:tables/readings from pg
BEGIN;
DROP FUNCTION mqtt.metric_number(jsonb);
DROP FUNCTION mqtt.metric_values(jsonb, text []);
DROP FUNCTION mqtt.has_metric(jsonb, text []);
DROP FUNCTION mqtt.is_named(text, text []);
DROP FUNCTION mqtt.metric(jsonb, text);
DROP VIEW mqtt.readings;
COMMIT;
