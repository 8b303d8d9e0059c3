-- Revert topicbase:base/outward_addresses from pg
BEGIN;
DROP FUNCTION mqtt.callback_url_reason(text, boolean);
DROP FUNCTION mqtt.url_parts(text);
DROP FUNCTION mqtt.host_reason(text, boolean);
DROP FUNCTION mqtt.is_private_address(inet);
COMMIT;
