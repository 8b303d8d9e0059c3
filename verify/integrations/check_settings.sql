-- Verify topicbase:integrations/check_settings on pg
BEGIN;
SELECT mqtt.verify_function('mqtt.refuse_setting(text, text, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.broker_url_parts(text, boolean)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.settings_with_secrets(jsonb, jsonb, jsonb)', false, 'v', '{}');
SELECT mqtt.verify_function('mqtt.check_hosted_settings(jsonb, text)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.complete_broker_settings(jsonb, boolean)', false, 's', '{}');
SELECT mqtt.verify_function('mqtt.checked_settings(jsonb, text, text, jsonb, boolean)', true, 'v', '{}');
ROLLBACK;
