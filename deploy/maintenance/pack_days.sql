-- Deploy topicbase:maintenance/pack_days to pg
-- requires: maintenance/check_ledger
-- requires: maintenance/drop_packed_rows
-- requires: maintenance/failures
-- requires: maintenance/retention
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_open_before(before timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pgmq.q_mqtt_messages AS q WHERE q.enqueued_at < before)
        OR EXISTS (SELECT FROM pgmq.q_mqtt_outbound AS q WHERE q.enqueued_at < before)
        -- Who resumes a live stream finds its messages by their rows.
        OR EXISTS (SELECT FROM mqtt.settlements AS s WHERE s.first_at < before);
END;
$$;
COMMENT ON FUNCTION mqtt.is_open_before(timestamptz) IS
'Whether messages accepted before then are still queued, to be stored with that time or with work items that stand for them, or to be published, or their order of settling is still kept.';

CREATE OR REPLACE FUNCTION mqtt.is_trimmed_soon(since timestamptz, before timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM mqtt.organizations AS o
        CROSS JOIN mqtt.configuration AS c
        CROSS JOIN LATERAL (SELECT coalesce(o.completed_days, c.completed_days) AS days) AS t
        JOIN mqtt.history AS h ON h.organization = o.number AND (o.history_trimmed_to IS NULL OR h.received_at >= o.history_trimmed_to)
        WHERE h.received_at >= since AND h.received_at < before AND h.received_at < now() + interval '1 day' - make_interval(days => t.days)
            AND t.days < mqtt.longest_term('completed_days') AND now() + interval '1 day' - make_interval(days => t.days) > since
            AND (o.history_trimmed_to IS NULL OR o.history_trimmed_to < before)
    );
END;
$$;
COMMENT ON FUNCTION mqtt.is_trimmed_soon(timestamptz, timestamptz) IS
'Whether retention deletes rows of that time one by one (mqtt.trim_rows), now or within a day: each would have the day packed again.';

CREATE OR REPLACE FUNCTION mqtt.begin_packing() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_days date [] := ARRAY(
        SELECT r.first_at::date
        FROM mqtt.partition_ranges('mqtt.history') AS r
        CROSS JOIN mqtt.configuration AS c
        -- Who resumes a live stream finds its messages by their rows. A default partition that was adopted has many days, of which none can be dropped.
        WHERE r.end_at::date <= now()::date - greatest(c.pack_after, c.settled_days) AND r.end_at::date = r.first_at::date + 1
            AND NOT EXISTS (SELECT FROM mqtt.packed_days AS d WHERE d.day = r.first_at::date)
    );
    v_next record;
BEGIN
    IF v_days <> '{}' THEN
        v_days := ARRAY(SELECT x.day FROM unnest(v_days) AS x (day) EXCEPT SELECT l.hour::date FROM mqtt.check_ledger() AS l);
    END IF;
    SELECT x.first_at::date AS day, x.partition, x.end_at INTO v_next
    FROM (SELECT r.* FROM mqtt.partition_ranges('mqtt.history') AS r WHERE r.first_at::date = ANY (v_days) ORDER BY r.first_at OFFSET 0) AS x
    WHERE NOT mqtt.is_trimmed_soon(x.first_at, x.end_at)
    LIMIT 1;
    IF NOT found OR mqtt.is_open_before(v_next.end_at) THEN
        RETURN false;
    END IF;
    PERFORM mqtt.lock_table(v_next.partition, false);
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER note_packed_change BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION mqtt.note_packed_change(%L)',
        v_next.partition, v_next.day
    );
    INSERT INTO mqtt.packed_days (day) VALUES (v_next.day);
    RETURN true;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN false;
END;
$$;
COMMENT ON FUNCTION mqtt.begin_packing() IS
'Takes up the oldest day that is to be packed; false if there is none, or none yet: messages of it are still queued or to be published, their order of settling is still kept, its ledger does not add up, retention is about to delete rows of it, or its partition cannot be locked. A partition of more than a day is not packed.';

CREATE OR REPLACE FUNCTION mqtt.pack_messages(packed mqtt.packed_days, most integer) RETURNS mqtt.packed_days
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_first CONSTANT timestamptz := packed.day;
    v_end CONSTANT timestamptz := packed.day + 1;
    v_messages CONSTANT integer := 400;
    v_bytes CONSTANT integer := 262144;
    v_text_bytes CONSTANT integer := 4194304;
    v_last record;
    v_count bigint;
BEGIN
    SELECT h.topic, h.measured_at INTO v_last
    FROM mqtt.history AS h
    WHERE h.received_at >= v_first AND h.received_at < v_end AND (h.topic, h.measured_at) > (packed.next_topic, packed.next_measured_at)
    ORDER BY h.topic, h.measured_at
    OFFSET most - 1
    LIMIT 1;
    IF NOT found THEN
        v_last.topic := 2147483647;
        v_last.measured_at := 'infinity'::timestamptz;
    END IF;
    SELECT coalesce(sum(mqtt.write_pack(y.messages, packed.run)), 0) INTO v_count
    FROM (
        SELECT array_agg(x.message) AS messages
        FROM (
            SELECT
                h AS message, h.organization, h.topic,
                (row_number() OVER w - 1) / v_messages + sum(pg_column_size(h.payload) + coalesce(octet_length(h.body), 0)) OVER w / v_bytes
                -- What is neither large nor compressed is not much longer as text.
                + sum(CASE
                    WHEN pg_column_size(h.payload) > 2000 OR pg_column_compression(h.payload) IS NOT NULL THEN octet_length(h.payload::text) ELSE 0
                END) OVER w / v_text_bytes AS chunk
            FROM mqtt.history AS h
            WHERE h.received_at >= v_first AND h.received_at < v_end AND (h.topic, h.measured_at) > (packed.next_topic, packed.next_measured_at)
                AND (h.topic, h.measured_at) <= (v_last.topic, v_last.measured_at)
            WINDOW w AS (PARTITION BY h.organization, h.topic ORDER BY h.received_at, h.position, h.id)
        ) AS x
        GROUP BY x.organization, x.topic, x.chunk
    ) AS y;
    packed.message_count := packed.message_count + v_count;
    packed.next_topic := v_last.topic;
    packed.next_measured_at := v_last.measured_at;
    RETURN packed;
END;
$$;
COMMENT ON FUNCTION mqtt.pack_messages(mqtt.packed_days, integer) IS
'Writes the packs of the next messages of a day, at least so many unless it has fewer: each of one topic, at most 400 messages or about 256 kB, or 4 MB of text. The answer says how far it is.';

CREATE OR REPLACE FUNCTION mqtt.finish_packing(packed mqtt.packed_days) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET jit = off
AS $$
DECLARE
    v_stored bigint;
    v_packed bigint;
BEGIN
    SELECT count(*) INTO v_stored FROM mqtt.history AS h WHERE h.received_at >= packed.day::timestamptz AND h.received_at < (packed.day + 1)::timestamptz;
    SELECT coalesce(sum(p.message_count), 0) INTO v_packed FROM ONLY mqtt.packs AS p WHERE p.run = packed.run;
    IF packed.changed_by IS NULL AND v_stored = v_packed AND v_packed = packed.message_count
        AND NOT EXISTS (SELECT FROM mqtt.check_ledger() AS l WHERE l.hour >= packed.day AND l.hour < packed.day + 1) THEN
        UPDATE mqtt.packed_days AS d SET state = 'packed', packed_by = pg_current_xact_id(), packed_at = clock_timestamp() WHERE d.day = packed.day;
        RETURN true;
    END IF;
    RAISE LOG 'topicbase: % is packed again: % rows, of which % are packed, changed by %', packed.day, v_stored, v_packed, packed.changed_by;
    DELETE FROM ONLY mqtt.packs AS p WHERE p.run = packed.run;
    UPDATE mqtt.packed_days AS d
    SET message_count = 0, next_topic = 0, next_measured_at = '-infinity', changed_by = NULL
    WHERE d.day = packed.day;
    RETURN false;
END;
$$;
COMMENT ON FUNCTION mqtt.finish_packing(mqtt.packed_days) IS
'Has readers see the packs of a day from now on, if all rows are in them and none has changed since; otherwise the day is packed again from the start, and it returns false.';

CREATE OR REPLACE FUNCTION mqtt.pack_some(packed mqtt.packed_days, most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row_bytes bigint;
    v_day date;
    v_missing bigint;
    p mqtt.packed_days := packed;
BEGIN
    SELECT pg_table_size(r.partition) / nullif(greatest(k.reltuples, 0), 0)::bigint INTO v_row_bytes
    FROM mqtt.partition_ranges('mqtt.history') AS r
    JOIN pg_catalog.pg_class AS k ON k.oid = r.partition
    WHERE r.first_at = p.day::timestamp AT TIME ZONE 'UTC';
    IF p.changed_by IS NULL AND p.next_measured_at < 'infinity' THEN
        p := mqtt.pack_messages(p, greatest(least(most, 33554432 / greatest(v_row_bytes, 1)), 1)::integer);
        UPDATE mqtt.packed_days AS d
        SET message_count = p.message_count, next_topic = p.next_topic, next_measured_at = p.next_measured_at
        WHERE d.day = p.day;
    ELSIF mqtt.finish_packing(p) THEN
        v_day := p.day;
        v_missing := mqtt.count_lacking(p.day, 'packed');
    END IF;
    PERFORM mqtt.note_success('packing', p.day::text);
    RETURN jsonb_strip_nulls(jsonb_build_object('messages_packed', p.message_count - packed.message_count, 'day_packed', v_day, 'lacking', v_missing, 'more', true));
EXCEPTION
    -- OTHERS does not include the time limit.
    WHEN query_canceled OR OTHERS THEN
        PERFORM mqtt.note_failure('packing', packed.day::text, SQLSTATE, SQLERRM);
        RETURN jsonb_build_object('messages_packed', 0, 'more', true) || mqtt.failed_now('packing');
END;
$$;
COMMENT ON FUNCTION mqtt.pack_some(mqtt.packed_days, integer) IS
'A step of packing one day; what fails is noted. Answers as mqtt.pack_next does.';

CREATE OR REPLACE FUNCTION mqtt.pack_next(most integer) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_days CONSTANT date [] := ARRAY(SELECT d.day FROM mqtt.packed_days AS d WHERE d.state = 'packing');
    v_ready CONSTANT date [] := ARRAY(SELECT d.day FROM unnest(v_days) AS d (day) WHERE NOT mqtt.must_wait('packing', d.day::text));
    p mqtt.packed_days;
BEGIN
    -- A pack in progress can wait for whoever has changed its day and is not done yet.
    SELECT d.* INTO p FROM mqtt.packed_days AS d WHERE d.day = ANY (v_ready) ORDER BY d.day LIMIT 1 FOR UPDATE SKIP LOCKED;
    -- While days fail others are taken up, but not all that there are: they might all fail for the same reason.
    IF v_ready = '{}' AND cardinality(v_days) < 3 AND (SELECT c.pack_after IS NOT NULL FROM mqtt.configuration AS c) AND mqtt.begin_packing() THEN
        SELECT d.* INTO p FROM mqtt.packed_days AS d WHERE d.state = 'packing' AND d.day <> ALL (v_days);
    END IF;
    IF p.day IS NULL THEN
        RETURN '{"messages_packed": 0, "more": false}';
    END IF;
    -- What was too much is less each time.
    RETURN mqtt.pack_some(p, greatest(1, most >> 2 * least(mqtt.failures_of('packing', p.day::text), 3)));
END;
$$;
COMMENT ON FUNCTION mqtt.pack_next(integer) IS
'Packs about so many messages, or fewer where they are large; after the last of a day, the day is shown packed instead, and the answer and the log say how many of its messages are missing. A day that failed ("packing_failed": which, and why) is left out for a while, and the next is packed meanwhile. A part of mqtt.pack_days.';

CREATE OR REPLACE FUNCTION mqtt.pack_days(most integer DEFAULT 20000) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_dropped CONSTANT text := mqtt.drop_packed_rows();
BEGIN
    -- The history is locked until the end of the transaction: whatever else there is to do would hold up intake.
    IF v_dropped IS NOT NULL THEN
        RETURN jsonb_build_object('messages_packed', 0, 'rows_dropped_of', v_dropped, 'more', true);
    END IF;
    RETURN mqtt.pack_next(most) || mqtt.failed_now('packed_rows');
END;
$$;
COMMENT ON FUNCTION mqtt.pack_days(integer) IS
'One step of packing the history (configuration.pack_after): about so many messages are packed, or a day is shown packed, or the rows of a packed day are dropped, which is all that its transaction should do. Answers what it did, and "more" if it should be called again. Whoever calls has the lock of maintenance.';
COMMIT;
