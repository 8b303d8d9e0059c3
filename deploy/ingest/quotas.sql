-- Deploy topicbase:ingest/quotas to pg
-- requires: tables/quota_buckets
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.take_tokens(subject_id uuid, rate numeric, burst integer, wanted integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_burst CONSTANT double precision := coalesce(burst, greatest(1, ceil(rate * 2)));
    v_shards CONSTANT integer := least(16, greatest(1, floor(v_burst / 50)))::integer;
    v_bucket record;
    v_tokens double precision;
    v_taken integer;
    v_left integer := wanted;
    v_at CONSTANT integer := pg_backend_pid() % v_shards;
BEGIN
    IF NOT EXISTS (SELECT FROM mqtt.quota_buckets AS b WHERE b.subject_id = take_tokens.subject_id AND b.shard = v_shards - 1) THEN
        INSERT INTO mqtt.quota_buckets (subject_id, shard, tokens)
        SELECT take_tokens.subject_id, s.shard, v_burst / v_shards FROM generate_series(0, v_shards - 1) AS s (shard)
        ON CONFLICT DO NOTHING;
    END IF;
    -- Its own shard first; the others, in one order for all, only when that is empty.
    FOR v_step IN 0..v_shards LOOP
        EXIT WHEN v_left = 0;
        CONTINUE WHEN v_step > 0 AND v_step - 1 = v_at;
        SELECT b.shard, b.tokens, b.filled_at INTO v_bucket
        FROM mqtt.quota_buckets AS b
        WHERE b.subject_id = take_tokens.subject_id AND b.shard = CASE WHEN v_step = 0 THEN v_at ELSE v_step - 1 END
        FOR UPDATE SKIP LOCKED;
        IF NOT found AND v_step = 0 AND v_shards = 1 THEN
            SELECT b.shard, b.tokens, b.filled_at INTO v_bucket
            FROM mqtt.quota_buckets AS b
            WHERE b.subject_id = take_tokens.subject_id AND b.shard = 0
            FOR UPDATE;
        END IF;
        CONTINUE WHEN v_bucket.shard IS NULL;
        v_tokens := least(
            v_burst / v_shards,
            CASE
                -- The clock was set back: full, or it would fill no sooner than the old time comes again.
                WHEN v_bucket.filled_at > clock_timestamp() + interval '1 second' THEN v_burst / v_shards
                ELSE v_bucket.tokens + greatest(0, extract(EPOCH FROM clock_timestamp() - v_bucket.filled_at)) * rate::double precision / v_shards
            END
        );
        v_taken := least(v_left, floor(v_tokens))::integer;
        UPDATE mqtt.quota_buckets AS b
        SET tokens = v_tokens - v_taken, filled_at = clock_timestamp()
        WHERE b.subject_id = take_tokens.subject_id AND b.shard = v_bucket.shard;
        v_left := v_left - v_taken;
    END LOOP;
    RETURN wanted - v_left;
END;
$$;
COMMENT ON FUNCTION mqtt.take_tokens(uuid, numeric, integer, integer) IS
'Takes up to so many tokens from a bucket that fills at rate a second up to burst (two seconds'' worth when null); returns how many.';
COMMIT;
