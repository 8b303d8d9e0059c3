-- Deploy topicbase:publish/first_json_reason to pg
-- requires: base/json
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.first_json_reason(elements json) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT format('messages[%s]: %s', e.ordinality - 1, mqtt.json_reason(e.value, 1))
    FROM json_array_elements(elements) WITH ORDINALITY AS e (value, ordinality)
    WHERE mqtt.json_reason(e.value, 1) IS NOT NULL
    ORDER BY e.ordinality
    LIMIT 1;
END;
COMMENT ON FUNCTION mqtt.first_json_reason(json) IS 'Index of the first element that cannot be stored, and the reason; null when there is none.';
COMMIT;
