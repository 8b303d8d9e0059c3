-- Deploy topicbase:process/store_in_turns to pg
-- requires: process/enqueue_callbacks
-- requires: process/record_failure
-- requires: process/split_items
-- requires: process/store_messages
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.store_or_split(tids tid []) RETURNS integer []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_half integer := cardinality(tids) / 2;
    v_parts tid [];
    v_left integer [];
    v_right integer [];
BEGIN
    PERFORM mqtt.enqueue_callbacks(tids);
    v_left := mqtt.store_messages(tids);
    RETURN ARRAY[v_left[1], 0, v_left[2]];
EXCEPTION
    -- Not the messages' fault: the whole batch is tried again later.
    WHEN lock_not_available OR serialization_failure OR deadlock_detected OR insufficient_resources OR operator_intervention
        OR system_error OR insufficient_privilege OR undefined_function OR undefined_table THEN
        RAISE;
    WHEN OTHERS THEN
        IF v_half = 0 THEN
            v_parts := mqtt.split_item(tids[1], NULL);
            IF cardinality(v_parts) > 1 THEN
                RETURN mqtt.store_or_split(v_parts);
            END IF;
            RETURN CASE mqtt.record_failure(tids[1], SQLSTATE, SQLERRM)
                WHEN 'failed' THEN ARRAY[0, 1, 0]
                WHEN 'dead' THEN ARRAY[0, 0, 1]
                ELSE ARRAY[0, 0, 0]
            END;
        END IF;
        -- Halving finds one poison message in a thousand with ten tries, and its neighbours go through.
        v_left := mqtt.store_or_split(tids[:v_half]);
        v_right := mqtt.store_or_split(tids[v_half + 1:]);
        RETURN ARRAY[v_left[1] + v_right[1], v_left[2] + v_right[2], v_left[3] + v_right[3]];
END;
$$;
COMMENT ON FUNCTION mqtt.store_or_split(tid []) IS
'Settles a batch; when that raises, its halves, down to the single message at fault, work items being split. Returns how many were stored, failed and became dead letters.';

CREATE OR REPLACE FUNCTION mqtt.batch_parts(batch tid []) RETURNS TABLE (organization_id uuid, tids tid [], ms double precision, is_heavy boolean)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- As in mqtt.store_messages: rows by address, however the table stood when the plan was made.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_costs CONSTANT jsonb := coalesce(nullif(current_setting('topicbase.organization_costs', true), ''), '{}');
BEGIN
    RETURN QUERY
    SELECT
        p.organization_id, p.tids,
        CASE WHEN v_costs ? p.organization_id::text
            -- What comes next may be much more work than what came before.
            THEN greatest(p.messages * (v_costs ->> p.organization_id::text)::double precision, p.bytes / 100000.0)
            -- Some of what the last batch had was slow: one at a time.
            ELSE p.bytes / 10000.0 + CASE current_setting('topicbase.batch_was_slow', true) WHEN 'true' THEN 50 * p.messages ELSE 0 END
        END,
        -- Of what is as large, each takes 10 ms and more.
        greatest(coalesce((v_costs ->> p.organization_id::text)::double precision, 0), p.bytes / p.messages / 3000.0) > 10
    FROM (
        SELECT
            q.organization_id, array_agg(q.ctid ORDER BY q.vt) AS tids, sum(q.message_count) AS messages,
            sum(coalesce(pg_column_size(q.message), 0) + coalesce(pg_column_size(q.body), 0)) AS bytes
        -- By address before they are grouped: for that, the index of all that wait may be read.
        FROM (SELECT x.ctid, x.* FROM pgmq.q_mqtt_messages AS x WHERE x.ctid = ANY (batch) OFFSET 0) AS q
        GROUP BY q.organization_id
    ) AS p;
END;
$$;
COMMENT ON FUNCTION mqtt.batch_parts(tid []) IS
'A batch, by row address, by organization, and how many milliseconds each part may take: by what a message took when the session last looked (mqtt.store_in_turns), else by the bytes; is_heavy: each of its messages is much work.';

CREATE OR REPLACE FUNCTION mqtt.store_part(tids tid [], ms double precision, ends_at timestamptz) RETURNS TABLE (counts integer [], left_since timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_tids tid [] := tids;
    v_at integer := 1;
    v_slice CONSTANT integer := greatest(1, floor(cardinality(tids) * least(1, 50 / greatest(ms, 1))));
    v_stored integer [];
BEGIN
    counts := '{0,0,0}';
    WHILE v_at <= cardinality(v_tids) AND (v_at = 1 OR clock_timestamp() < ends_at) LOOP
        IF ms / cardinality(tids) > 100 THEN
            -- A work item of many messages that are much work each.
            v_tids := v_tids[:v_at - 1] || mqtt.split_item(v_tids[v_at], ARRAY[1]) || v_tids[v_at + 1:];
        END IF;
        v_stored := mqtt.store_or_split(v_tids[v_at:v_at + v_slice - 1]);
        counts := ARRAY[counts[1] + v_stored[1], counts[2] + v_stored[2], counts[3] + v_stored[3]];
        v_at := v_at + v_slice;
    END LOOP;
    left_since := (SELECT min(q.vt) FROM pgmq.q_mqtt_messages AS q WHERE q.ctid = ANY (v_tids[v_at:]));
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION mqtt.store_part(tid [], double precision, timestamptz) IS
'Settles a part of a batch, which may take so many milliseconds, in slices of 50 until the time is over, the first slice in any case. Returns how many were stored, failed and became dead letters, and when the first of those that are left was due.';

CREATE OR REPLACE FUNCTION mqtt.remember_costs(before jsonb, took jsonb, least_ms double precision) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_costs jsonb;
BEGIN
    -- Up in steps and down at once: what took long because the machine was busy is soon forgotten.
    SELECT coalesce(jsonb_object_agg(t.key, least(
        greatest(0, (t.value ->> 0)::double precision - least_ms) / (t.value ->> 1)::integer, 2 * (before ->> t.key)::double precision + 5
    )), '{}') INTO v_costs
    FROM jsonb_each(took) AS t;
    -- Of as many as may matter.
    IF length(before::text) < 50000 THEN
        v_costs := before || v_costs;
    END IF;
    PERFORM set_config('topicbase.organization_costs', v_costs::text, false);
END;
$$;
COMMENT ON FUNCTION mqtt.remember_costs(jsonb, jsonb, double precision) IS
'Remembers in this session (topicbase.organization_costs, {organization: ms}) what a message of each organization took; took is {organization: [ms, messages]}, least_ms what storing anything takes. A part of mqtt.store_in_turns.';

CREATE OR REPLACE FUNCTION mqtt.store_in_turns(tids tid []) RETURNS integer []
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ends_at CONSTANT timestamptz := clock_timestamp() + interval '0.1 seconds';
    v_memory CONSTANT jsonb := coalesce(nullif(current_setting('topicbase.queue_memory', true), ''), '{}');
    v_before jsonb := coalesce(nullif(current_setting('topicbase.organization_costs', true), ''), '{}');
    v_left jsonb := '{}';
    v_part record;
    v_began timestamptz;
    v_stored record;
    v_counts integer [] := '{0,0,0}';
    v_ms double precision;
    v_messages integer;
    v_took jsonb := '{}';
    v_turns integer := 0;
    v_is_slow boolean := false;
    -- What storing anything takes, on this machine and at this time: no message's own work.
    v_least double precision := 'Infinity';
BEGIN
    -- The less work first: whoever sends much of it waits, and nobody for them. Those with little share a turn, since each has its fixed cost.
    FOR v_part IN
        SELECT array_agg(DISTINCT p.organization_id) AS organizations, array_agg(u.tid ORDER BY p.organization_id, u.n) AS tids, sum(p.ms / cardinality(p.tids)) AS ms
        FROM mqtt.batch_parts(store_in_turns.tids) AS p
        CROSS JOIN LATERAL unnest(p.tids) WITH ORDINALITY AS u (tid, n)
        GROUP BY CASE WHEN p.ms > 50 THEN p.organization_id END
        ORDER BY CASE WHEN p.ms > 50 THEN p.organization_id END IS NOT NULL, sum(p.ms / cardinality(p.tids))
    LOOP
        v_began := clock_timestamp();
        SELECT s.* INTO v_stored
        FROM mqtt.store_part(v_part.tids, CASE WHEN cardinality(v_part.organizations) > 1 THEN 50 ELSE v_part.ms END, v_ends_at) AS s;
        v_counts := ARRAY[v_counts[1] + v_stored.counts[1], v_counts[2] + v_stored.counts[2], v_counts[3] + v_stored.counts[3]];
        v_ms := extract(EPOCH FROM clock_timestamp() - v_began) * 1000;
        v_least := least(v_least, v_ms);
        v_turns := v_turns + 1;
        v_messages := greatest(1, v_stored.counts[1] + v_stored.counts[2] + v_stored.counts[3]);
        IF cardinality(v_part.organizations) > 1 THEN
            -- Whose work it was is not known: if it was much, each has a turn next time.
            v_is_slow := v_ms > 300;
            v_before := CASE
                WHEN v_is_slow THEN v_before - v_part.organizations::text []
                ELSE v_before || coalesce((
                    SELECT jsonb_object_agg(b.key, least(b.value::double precision, v_ms / v_messages))
                    FROM jsonb_each_text(v_before) AS b
                    WHERE b.key = ANY (v_part.organizations::text [])
                ), '{}')
            END;
            CONTINUE;
        END IF;
        v_took := v_took || jsonb_build_object(v_part.organizations[1], jsonb_build_array(v_ms, v_messages));
        IF v_stored.left_since IS NOT NULL THEN
            v_left := v_left || jsonb_build_object(v_part.organizations[1], v_stored.left_since - interval '1 microsecond');
        END IF;
    END LOOP;
    PERFORM mqtt.remember_costs(v_before, v_took, CASE WHEN v_turns < 2 THEN 10 ELSE v_least END);
    -- Where mqtt.due_messages goes on reading.
    PERFORM set_config('topicbase.queue_memory', (v_memory || jsonb_build_object('marks', coalesce(v_memory -> 'marks', '{}') || v_left))::text, false);
    RETURN v_counts || (v_left <> '{}')::integer || v_is_slow::integer;
END;
$$;
COMMENT ON FUNCTION mqtt.store_in_turns(tid []) IS
'Settles a batch that may take longer than a tenth of a second, in turns: first all organizations with little work (50 ms), then one by one, and leaves in the queue what there is no time for. Remembers what a message of each took beyond what storing anything takes. Returns how many were stored, failed and became dead letters, 1 where something is left, and 1 where the first turn took long.';
COMMIT;
