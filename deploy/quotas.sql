-- Deploy topicbase:quotas to pg
-- requires: mqtt_credentials
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE FUNCTION mqtt.refuse_for_now(status text, slug text, detail text, wait_seconds integer) RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- PostgREST's own SQLSTATE: the only way for an error to carry a header.
    RAISE EXCEPTION USING
        ERRCODE = 'PGRST',
        MESSAGE = jsonb_build_object(
            'code', 'PT' || status, 'message', slug, 'details', detail, 'hint', format('Try again in %s seconds; nothing of this call was taken.', wait_seconds)
        ),
        DETAIL = jsonb_build_object('status', status::integer, 'headers', jsonb_build_object('Retry-After', wait_seconds::text));
END;
$$;
COMMENT ON FUNCTION mqtt.refuse_for_now(text, text, text, integer) IS 'Raises an error that PostgREST answers with that HTTP status and Retry-After (RFC 9110 section 10.2.3).';

CREATE FUNCTION mqtt.require_room(organization_id uuid, queue text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stop text := (
        SELECT CASE queue WHEN 'outbound' THEN c.publish_stop ELSE coalesce(c.intake_stop, o.intake_stop) END
        FROM mqtt.configuration AS c
        CROSS JOIN mqtt.organizations AS o
        WHERE o.id = require_room.organization_id
    );
BEGIN
    IF v_stop IS NOT NULL THEN
        PERFORM mqtt.refuse_for_now('429', 'intake_stopped', v_stop, 30);
    END IF;
END;
$$;
COMMENT ON FUNCTION mqtt.require_room(uuid, text) IS 'Raises 429 intake_stopped while mqtt.check_intake has closed that queue, ingest or outbound, for the organization.';

-- Unlogged: after a crash the buckets are full again, which is what they would soon be anyway.
CREATE UNLOGGED TABLE mqtt.quota_buckets (
    subject_id uuid NOT NULL,
    shard smallint NOT NULL,
    tokens double precision NOT NULL,
    filled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (subject_id, shard)
) WITH (fillfactor = 50);
COMMENT ON TABLE mqtt.quota_buckets IS
'Token buckets of credentials and organizations that have a quota. A large one is spread over shards, so that its devices do not wait for one row.';
ALTER TABLE mqtt.quota_buckets ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION mqtt.take_tokens(subject_id uuid, rate numeric, burst integer, wanted integer) RETURNS integer
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
