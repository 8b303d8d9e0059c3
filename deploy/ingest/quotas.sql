-- Deploy topicbase:ingest/quotas to pg
-- requires: tables/quota_buckets
-- requires: tenants/organizations
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
-- Shards below 0 are not those of messages.
CREATE OR REPLACE FUNCTION mqtt.time_shard() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT -1;
END;
COMMENT ON FUNCTION mqtt.time_shard() IS 'The bucket of an organization''s seconds of the queue workers.';

CREATE OR REPLACE FUNCTION mqtt.bytes_shard() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT -2;
END;
COMMENT ON FUNCTION mqtt.bytes_shard() IS 'The first bucket of the bytes that an organization sends; the others are below it.';

CREATE OR REPLACE FUNCTION mqtt.refilled(tokens double precision, filled_at timestamptz, rate numeric, burst numeric) RETURNS double precision
LANGUAGE sql VOLATILE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        -- The clock was set back: full, or it would fill no sooner than the old time comes again.
        WHEN filled_at > clock_timestamp() + interval '1 second' THEN burst::double precision
        ELSE least(burst::double precision, tokens + greatest(0, extract(EPOCH FROM clock_timestamp() - filled_at)) * rate::double precision)
    END;
END;
COMMENT ON FUNCTION mqtt.refilled(double precision, timestamptz, numeric, numeric) IS 'The tokens of a bucket by now; it fills at rate a second up to burst.';

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
        v_tokens := mqtt.refilled(v_bucket.tokens, v_bucket.filled_at, rate / v_shards, v_burst::numeric / v_shards);
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

CREATE OR REPLACE FUNCTION mqtt.take_bytes(organization_id uuid, rate bigint, bytes bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_shards CONSTANT integer := 8;
    v_own CONSTANT integer := mqtt.bytes_shard() - pg_backend_pid() % v_shards;
    v_left double precision;
    v_shard integer;
BEGIN
    INSERT INTO mqtt.quota_buckets (subject_id, shard, tokens)
    SELECT take_bytes.organization_id, mqtt.bytes_shard() - s.n, rate * 2.0 / v_shards
    FROM generate_series(0, v_shards - 1) AS s (n)
    WHERE NOT EXISTS (SELECT FROM mqtt.quota_buckets AS b WHERE b.subject_id = take_bytes.organization_id AND b.shard = mqtt.bytes_shard())
    ON CONFLICT DO NOTHING;
    -- Another one that nobody is at, where its own has none.
    SELECT b.shard, mqtt.refilled(b.tokens, b.filled_at, rate::numeric / v_shards, rate * 2.0 / v_shards) INTO v_shard, v_left
    FROM mqtt.quota_buckets AS b
    WHERE b.subject_id = take_bytes.organization_id AND b.shard BETWEEN mqtt.bytes_shard() - v_shards + 1 AND mqtt.bytes_shard()
        AND mqtt.refilled(b.tokens, b.filled_at, rate::numeric / v_shards, rate * 2.0 / v_shards) > 0
    ORDER BY b.shard <> v_own, b.shard
    LIMIT 1
    FOR UPDATE SKIP LOCKED;
    IF NOT found THEN
        SELECT b.shard, mqtt.refilled(b.tokens, b.filled_at, rate::numeric / v_shards, rate * 2.0 / v_shards) INTO v_shard, v_left
        FROM mqtt.quota_buckets AS b
        WHERE b.subject_id = take_bytes.organization_id AND b.shard = v_own
        FOR UPDATE;
    END IF;
    IF v_left <= 0 THEN
        RETURN least(3600, greatest(1, ceil(-v_left * v_shards / rate)));
    END IF;
    UPDATE mqtt.quota_buckets AS b
    SET tokens = v_left - bytes, filled_at = clock_timestamp()
    WHERE b.subject_id = take_bytes.organization_id AND b.shard = v_shard;
    RETURN 0;
END;
$$;
COMMENT ON FUNCTION mqtt.take_bytes(uuid, bigint, bigint) IS
'Counts bytes that an organization sends against what it may a second (rate), which goes into debt, since a message comes as a whole. Returns 0, or while there is a debt how many seconds to wait.';

CREATE OR REPLACE FUNCTION mqtt.spend_time(organization_id uuid, rate numeric, seconds double precision) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO mqtt.quota_buckets AS b (subject_id, shard, tokens)
    VALUES (spend_time.organization_id, mqtt.time_shard(), rate - seconds)
    ON CONFLICT ON CONSTRAINT quota_buckets_pkey DO UPDATE
    SET tokens = mqtt.refilled(b.tokens, b.filled_at, rate / 60.0, rate) - seconds, filled_at = clock_timestamp();
END;
$$;
COMMENT ON FUNCTION mqtt.spend_time(uuid, numeric, double precision) IS
'Counts seconds of a queue worker against what an organization may take of it in a minute (rate); see mqtt.out_of_time.';

CREATE OR REPLACE FUNCTION mqtt.out_of_time() RETURNS uuid []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT b.subject_id
        FROM mqtt.quota_buckets AS b
        JOIN mqtt.organizations AS o ON o.id = b.subject_id AND o.max_processing_seconds IS NOT NULL
        -- mqtt.time_shard(), which the index names.
        WHERE b.shard = -1 AND mqtt.refilled(b.tokens, b.filled_at, o.max_processing_seconds / 60.0, o.max_processing_seconds) <= 0
    );
END;
$$;
COMMENT ON FUNCTION mqtt.out_of_time() IS 'The organizations that have taken as much of the queue workers'' time as they may for now (organizations.max_processing_seconds).';
COMMIT;
