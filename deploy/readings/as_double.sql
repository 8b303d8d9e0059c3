-- Deploy topicbase:readings/as_double to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.as_double(value numeric) RETURNS double precision
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- The bounds of mqtt.has_extreme_number. Closer to 0 than a double can be is 0.
    SELECT CASE WHEN abs(value) <= 1.7976931348623157e308 THEN CASE WHEN abs(value) < 4.94e-324 THEN 0 ELSE value END::double precision END;
END;
COMMENT ON FUNCTION mqtt.as_double(numeric) IS
'The number as IEEE 754 double precision (RFC 8259 section 6); null where it lies outside of its range, as sums of accepted numbers may.';
COMMIT;
