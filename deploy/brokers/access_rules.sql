-- Deploy topicbase:brokers/access_rules to pg
-- requires: tables/mqtt_credentials
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.filter_contains(allowed text, requested text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- The requested filter is matched as if it were a topic name, without its #, which only another # takes in.
    SELECT CASE
        WHEN r.bare = '#' THEN l.topic_like = '%' AND l.topic_levels < 0
        WHEN r.bare LIKE '%/#' THEN l.topic_levels < 0 AND mqtt.matched_levels(left(r.bare, -2), l.topic_like, l.topic_levels) IS NOT NULL
        ELSE mqtt.matched_levels(r.bare, l.topic_like, l.topic_levels) IS NOT NULL
    END
    FROM (SELECT regexp_replace(requested, '^\$share/[^/]+/', '') AS bare) AS r
    CROSS JOIN mqtt.topic_filter_levels(allowed) AS l;
END;
COMMENT ON FUNCTION mqtt.filter_contains(text, text) IS
'Whether the allowed filter matches every topic that the requested one matches; of $share/<name>/<filter> only the filter counts. Both must be valid filters.';

CREATE OR REPLACE FUNCTION mqtt.access_rules(credential mqtt.mqtt_credentials) RETURNS TABLE (action text, filter text)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT x.action, x.filter
    FROM (
        -- prefix/+/# is everything below the prefix; prefix/# would also match the prefix itself.
        SELECT 'publish' AS action, f.filter
        FROM unnest(coalesce((credential).publish_filters, ARRAY[(credential).topic_prefix || '/+/#'])) AS f (filter)
        WHERE (credential).can_publish
        UNION ALL
        SELECT 'subscribe', f.filter
        FROM unnest(coalesce((credential).subscribe_filters, ARRAY[(credential).topic_prefix || '/#'])) AS f (filter)
        WHERE (credential).can_subscribe
    ) AS x
    -- Checked again after generate_mqtt_credentials: no later edit of the row may lead out of its prefix.
    WHERE mqtt.topic_is_under(x.filter, (credential).topic_prefix) AND mqtt.topic_filter_reason(x.filter) IS NULL
        AND mqtt.topic_name_reason((credential).topic_prefix) IS NULL;
END;
COMMENT ON FUNCTION mqtt.access_rules(mqtt.mqtt_credentials) IS
'What a credential may do: actions (publish, subscribe) and topic filters, each written out in full. Does not check whether the credential is valid now.';

CREATE OR REPLACE FUNCTION mqtt.rule_allows(filter text, action text, topic text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE action
        WHEN 'publish' THEN mqtt.topic_name_reason(topic) IS NULL AND mqtt.topic_matches(filter, topic)
        WHEN 'subscribe' THEN mqtt.topic_filter_reason(topic) IS NULL AND mqtt.filter_contains(filter, topic)
        ELSE false
    END;
END;
COMMENT ON FUNCTION mqtt.rule_allows(text, text, text) IS
'Whether a rule with that filter allows publishing to the topic, or subscribing to it as a filter.';

CREATE OR REPLACE FUNCTION mqtt.access_rule(credential mqtt.mqtt_credentials, action text, topic text) RETURNS text
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT r.filter
    FROM mqtt.access_rules(access_rule.credential) AS r
    WHERE r.action = access_rule.action AND mqtt.rule_allows(r.filter, r.action, access_rule.topic)
    ORDER BY r.filter
    LIMIT 1;
END;
COMMENT ON FUNCTION mqtt.access_rule(mqtt.mqtt_credentials, text, text) IS
'The rule that lets a credential publish to a topic or subscribe to a filter; null if it may not.';
COMMIT;
