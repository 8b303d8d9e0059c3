-- Deploy topicbase:brokers/access_rules to pg
-- requires: tables/mqtt_credentials
-- requires: topics/filters
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.filter_contains(allowed text, requested text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    -- The allowed filter's own pattern, asked whether it matches the requested filter as text; only that its + must not take a #.
    SELECT regexp_replace(requested, '^\$share/[^/]+/', '') ~ replace(mqtt.topic_filter_pattern(allowed), '[^/]*', '[^/#]*');
END;
COMMENT ON FUNCTION mqtt.filter_contains(text, text) IS
'Whether every topic that the requested filter matches is matched by the allowed one too; $share/<name>/<filter> is judged by its filter. Both must be valid filters.';

CREATE OR REPLACE FUNCTION mqtt.access_rules(credential mqtt.mqtt_credentials) RETURNS TABLE (action text, filter text)
LANGUAGE sql STABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT x.action, x.filter
    FROM (
        -- prefix/+/# is all that lies below the prefix; prefix/# would be the topic of the prefix itself too.
        SELECT 'publish' AS action, f.filter
        FROM unnest(coalesce((credential).publish_filters, ARRAY[(credential).topic_prefix || '/+/#'])) AS f (filter)
        WHERE (credential).can_publish
        UNION ALL
        SELECT 'subscribe', f.filter
        FROM unnest(coalesce((credential).subscribe_filters, ARRAY[(credential).topic_prefix || '/#'])) AS f (filter)
        WHERE (credential).can_subscribe
    ) AS x
    -- Once more what generate_mqtt_credentials has checked: nothing that a later hand wrote into the row leads out of its prefix.
    WHERE mqtt.topic_is_under(x.filter, (credential).topic_prefix) AND mqtt.topic_filter_error(x.filter) IS NULL
        AND mqtt.topic_name_error((credential).topic_prefix) IS NULL;
END;
COMMENT ON FUNCTION mqtt.access_rules(mqtt.mqtt_credentials) IS
'What a credential may do: action (publish, subscribe) and topic filter, each written out in full. Whether it is valid now is not asked.';

CREATE OR REPLACE FUNCTION mqtt.rule_allows(filter text, action text, topic text) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE action
        WHEN 'publish' THEN mqtt.topic_name_error(topic) IS NULL AND mqtt.topic_matches(filter, topic)
        WHEN 'subscribe' THEN mqtt.topic_filter_error(topic) IS NULL AND mqtt.filter_contains(filter, topic)
        ELSE false
    END;
END;
COMMENT ON FUNCTION mqtt.rule_allows(text, text, text) IS
'Whether a rule with that filter lets one publish to the topic, or subscribe to it as a filter.';

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
'The rule by which a credential may publish to a topic or subscribe to a filter; null when it may not.';
COMMIT;
