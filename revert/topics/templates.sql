-- Revert topicbase:topics/templates from pg
BEGIN;
DROP FUNCTION mqtt.scalar_text(jsonb);
DROP FUNCTION mqtt.filled_template(jsonb, text [], jsonb, jsonb, text);
DROP FUNCTION mqtt.template_reason(text);
DROP FUNCTION mqtt.template_parts(text);
COMMIT;
