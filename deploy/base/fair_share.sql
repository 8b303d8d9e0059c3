-- Deploy topicbase:base/fair_share to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.fair_share(level bigint, place bigint, room integer) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT place <= room AND level <= greatest(1, room - place);
END;
COMMENT ON FUNCTION mqtt.fair_share(bigint, bigint, integer) IS
'How organizations share slots of which room are free: those who want one are lined up by level (how many slots their organization has with this one), and the one in that place gets one if as many '
'stay free as its organization then has; the first of an organization needs only a free one. So one organization has half of all slots at most, two a third each, and others always find one.';
COMMIT;
