-- Deploy topicbase:maintenance/work_deletions to pg
-- requires: maintenance/close_readings
-- requires: maintenance/deletion_places
-- requires: maintenance/failures
-- requires: tables/quota_buckets
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.delete_orphaned_rollups(d mqtt.deletions, most integer) RETURNS mqtt.deletions
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_series CONSTANT integer [] := ARRAY(
        SELECT s.id
        FROM mqtt.rollup_series AS s
        WHERE s.organization_id = d.organization_id AND (d.device_id IS NULL OR s.device_id = d.device_id)
            AND NOT EXISTS (SELECT FROM mqtt.devices AS x WHERE x.organization_id = s.organization_id AND x.id = s.device_id)
        LIMIT 1000
    );
    v_rows bigint;
    v_minutes bigint;
BEGIN
    DELETE FROM mqtt.rollups AS r
    WHERE r.ctid = ANY (ARRAY(
        SELECT x.ctid FROM unnest(v_series) AS s (id) JOIN mqtt.rollups AS x ON x.organization_id = d.organization_id AND x.series_id = s.id LIMIT most
    ));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    DELETE FROM mqtt.rollup_minutes AS r
    WHERE r.ctid = ANY (ARRAY(
        SELECT x.ctid FROM unnest(v_series) AS s (id) JOIN mqtt.rollup_minutes AS x ON x.organization_id = d.organization_id AND x.series_id = s.id LIMIT most
    ));
    GET DIAGNOSTICS v_minutes = ROW_COUNT;
    d.rollups := d.rollups + v_rows + v_minutes;
    IF greatest(v_rows, v_minutes) < most THEN
        DELETE FROM mqtt.rollup_series AS s WHERE s.organization_id = d.organization_id AND s.id = ANY (v_series);
        d.state := CASE WHEN v_series = '{}' THEN 'done' ELSE d.state END;
    END IF;
    RETURN d;
END;
$$;
COMMENT ON FUNCTION mqtt.delete_orphaned_rollups(mqtt.deletions, integer) IS
'Deletes rollups of devices that are no longer there (of the deletion''s device, if it names one), about so many rows; done once there are none.';

CREATE OR REPLACE FUNCTION mqtt.refresh_devices(d mqtt.deletions, most integer) RETURNS mqtt.deletions
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_devices CONSTANT uuid [] := ARRAY(
        SELECT DISTINCT x.id
        FROM mqtt.topics AS t
        JOIN mqtt.devices AS x ON x.organization_id = t.organization_id AND x.id = t.device_id
        CROSS JOIN mqtt.topic_filter_levels(d.filter) AS l
        WHERE t.organization_id = d.organization_id AND (d.integration_id IS NULL OR t.integration_id = d.integration_id)
            AND (d.device_id IS NULL OR t.device_id = d.device_id) AND (d.filter IS NULL OR mqtt.matched_levels(t.topic, l.topic_like, l.topic_levels) IS NOT NULL)
            AND (d.place IS NULL OR x.id > d.place::uuid)
        ORDER BY x.id
        LIMIT 20
    );
    v_device uuid;
    v_enough CONSTANT bigint := d.rollups + most;
BEGIN
    -- Whoever stores messages updates devices in another order.
    IF NOT mqtt.lock_processing(d.organization_id, true) THEN
        RETURN d;
    END IF;
    FOREACH v_device IN ARRAY v_devices LOOP
        d.rollups := d.rollups + mqtt.delete_rollups_within(d, v_device, most);
        IF d.rollups >= v_enough THEN
            RETURN d;
        END IF;
        PERFORM mqtt.refresh_latest(d, v_device);
        d.place := v_device::text;
    END LOOP;
    d.state := CASE WHEN v_devices = '{}' THEN 'done' ELSE d.state END;
    RETURN d;
END;
$$;
COMMENT ON FUNCTION mqtt.refresh_devices(mqtt.deletions, integer) IS
'Corrects the next devices that a deletion concerns: their latest values, and the rollups that cannot be made again, about so many rows of these.';

CREATE OR REPLACE FUNCTION mqtt.finish_organization(organization_id uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM mqtt.quota_buckets AS b WHERE b.subject_id = finish_organization.organization_id;
    DELETE FROM mqtt.organizations AS o WHERE o.id = finish_organization.organization_id;
    -- So that the sums of all time, which monitoring shows, do not fall.
    WITH gone AS (
        DELETE FROM mqtt.ledger AS l WHERE l.organization_id = finish_organization.organization_id RETURNING l.*
    )
    INSERT INTO mqtt.ledger AS l (organization_id, bucket, shard, accepted, completed, dead, expired, deleted)
    SELECT
        '00000000-0000-0000-0000-000000000000', '-infinity', mqtt.ledger_level_settled(), sum(g.accepted), sum(g.completed), sum(g.dead), sum(g.expired),
        sum(g.completed)
    FROM gone AS g
    HAVING count(*) > 0
    ON CONFLICT ON CONSTRAINT ledger_pkey DO UPDATE SET
        accepted = l.accepted + excluded.accepted, completed = l.completed + excluded.completed, dead = l.dead + excluded.dead,
        expired = l.expired + excluded.expired, deleted = l.deleted + excluded.deleted;
$$;
COMMENT ON FUNCTION mqtt.finish_organization(uuid) IS
'Deletes an organization of which nothing else is left; its ledger goes into the sums of those deleted, under the nil UUID.';

CREATE OR REPLACE FUNCTION mqtt.work_deletion(d mqtt.deletions, most integer) RETURNS mqtt.deletions
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queued integer;
BEGIN
    IF d.kind IN ('device', 'messages') AND d.started_at IS NULL AND mqtt.is_queued_before(d.organization_id, d.requested_at) THEN
        d.state := 'waiting';
        RETURN d;
    END IF;
    d.started_at := coalesce(d.started_at, clock_timestamp());
    d.state := 'running';
    IF d.kind = 'organization' THEN
        -- Nobody stores its messages meanwhile.
        IF NOT mqtt.lock_processing(d.organization_id, true) THEN
            RETURN d;
        END IF;
        v_queued := mqtt.delete_queued(d.organization_id, most);
        IF v_queued > 0 THEN
            d.others := d.others + v_queued;
            d.is_clean := false;
            RETURN d;
        END IF;
    END IF;
    IF d.phase = 'messages' THEN
        d := mqtt.delete_in_places(d, most);
    ELSIF d.phase = 'devices' THEN
        d := mqtt.refresh_devices(d, most);
    ELSE
        d := mqtt.delete_orphaned_rollups(d, most);
    END IF;
    IF d.kind = 'organization' AND d.phase = 'rollups' AND EXISTS (SELECT FROM mqtt.topics AS t WHERE t.organization_id = d.organization_id) THEN
        d.phase := 'messages';
    ELSIF d.kind = 'organization' AND d.phase = 'rollups' THEN
        PERFORM mqtt.finish_organization(d.organization_id);
        d.state := 'done';
    END IF;
    RETURN d;
END;
$$;
COMMENT ON FUNCTION mqtt.work_deletion(mqtt.deletions, integer) IS 'One step of a deletion: about so many rows. Answers how far it is, for its row.';

CREATE OR REPLACE FUNCTION mqtt.try_deletion(d mqtt.deletions, most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_subject CONSTANT text := format('deletion %s of organization %s', d.id, d.organization_id);
    v_next mqtt.deletions;
BEGIN
    v_next := mqtt.work_deletion(d, greatest(1, most >> 2 * least(d.failures, 3)));
    UPDATE mqtt.deletions AS x
    SET (
        state, started_at, finished_at, phase, place, is_clean, messages, readings, dead_letters, receipts, callbacks, rollups, others, rollup_hours_kept,
        failure, retry_at
    ) = (
        v_next.state, v_next.started_at, CASE WHEN v_next.state = 'done' THEN clock_timestamp() END, v_next.phase, v_next.place, v_next.is_clean,
        v_next.messages, v_next.readings, v_next.dead_letters, v_next.receipts, v_next.callbacks, v_next.rollups, v_next.others,
        v_next.rollup_hours_kept, NULL, NULL
    )
    WHERE x.organization_id = d.organization_id AND x.id = d.id;
    PERFORM mqtt.note_success('deletions', v_subject);
    RETURN mqtt.deleted_rows(v_next) - mqtt.deleted_rows(d);
EXCEPTION
    -- OTHERS does not include the time limit.
    WHEN query_canceled OR OTHERS THEN
        UPDATE mqtt.deletions AS x
        SET failures = x.failures + CASE WHEN mqtt.is_passing(SQLSTATE) THEN 0 ELSE 1 END,
            -- The API shows it: where an archive is, say, is the operators' to know (mqtt.maintenance_failures).
            failure = CASE WHEN mqtt.is_passing(SQLSTATE) THEN 'not possible at the moment, ' || SQLSTATE ELSE left(SQLERRM, 500) END,
            retry_at = mqtt.note_failure('deletions', v_subject, SQLSTATE, SQLERRM)
        WHERE x.organization_id = d.organization_id AND x.id = d.id;
        RETURN 0;
END;
$$;
COMMENT ON FUNCTION mqtt.try_deletion(mqtt.deletions, integer) IS
'mqtt.work_deletion in a subtransaction, and its row brought up to date; returns how many rows it deleted. If it fails, it is tried again after a pause (mqtt.note_failure).';

CREATE OR REPLACE FUNCTION mqtt.work_deletions(most integer DEFAULT 5000) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_retry CONSTANT boolean := NOT EXISTS (
        SELECT FROM mqtt.maintenance_failures AS f WHERE f.step = 'deletions' AND f.failed_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp()
    );
    v_next mqtt.deletions;
    v_removed bigint := 0;
    v_count integer := 0;
    v_is_more boolean;
BEGIN
    -- In random order, so that a large one does not hold up the others; one of an organization, so that neither do many. One that failed
    -- may take all the time there is, while others' locks would last: it has a call of its own, once a minute if there are others.
    FOR v_next IN
        SELECT (o.one).*
        FROM (
            SELECT DISTINCT ON (d.organization_id) d AS one
            FROM mqtt.deletions AS d
            WHERE d.state <> 'done' AND (d.retry_at IS NULL OR d.retry_at <= clock_timestamp())
            ORDER BY d.organization_id, d.state = 'waiting', random()
        ) AS o
        ORDER BY (o.one).state = 'waiting', ((o.one).retry_at IS NOT NULL) = v_is_retry DESC, random()
        LIMIT 20
    LOOP
        EXIT WHEN v_removed >= most OR v_next.retry_at IS NOT NULL AND v_count > 0;
        v_removed := v_removed + mqtt.try_deletion(v_next, most - v_removed::integer);
        v_count := v_count + 1;
        EXIT WHEN v_next.retry_at IS NOT NULL OR mqtt.is_timed_out();
    END LOOP;
    DELETE FROM mqtt.deletions AS d
    WHERE d.state = 'done' AND d.finished_at < now() - make_interval(days => (SELECT c.activity_days FROM mqtt.configuration AS c));
    v_is_more := EXISTS (SELECT FROM mqtt.deletions AS d WHERE d.state IN ('queued', 'running') AND (d.retry_at IS NULL OR d.retry_at <= clock_timestamp()));
    RETURN jsonb_build_object('rows_deleted', v_removed, 'more', v_is_more OR v_removed >= most) || mqtt.failed_now('deletions');
END;
$$;
COMMENT ON FUNCTION mqtt.work_deletions(integer) IS
'Goes on with what was asked to be deleted: about so many rows in a call, with row locks alone. Answers how many, "more" if there is more to do at once, and in "deletions_failed" those that failed (mqtt.try_deletion); deletions that wait for queued messages are looked at in the next call.';
COMMIT;
