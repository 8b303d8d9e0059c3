-- Deploy topicbase:base/outward_addresses to pg
-- requires: base/verify_helpers
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE mqtt_owner;
CREATE OR REPLACE FUNCTION mqtt.is_private_address(address inet) RETURNS boolean
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT
        FROM unnest(ARRAY[
            '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24',
            '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24',
            '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4',
            -- Unicast addresses are assigned within 2000::/3 only. Outside it lie loopback, mapped and compatible IPv4, NAT64 (64:ff9b::/96 and
            -- 64:ff9b:1::/48), discard (100::/64), segment routing (5f00::/16), fc00::/7, fe80::/10, fec0::/10 and multicast.
            '::/3', '4000::/2', '8000::/1',
            -- Within it: Teredo, benchmarks, ORCHID and the like; documentation; 6to4; AS112; documentation.
            '2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'
        ]::inet []) AS n (net)
        WHERE host(address)::inet <<= n.net
    );
END;
COMMENT ON FUNCTION mqtt.is_private_address(inet) IS
'Whether an address is loopback, link-local (cloud metadata), private, multicast, reserved, of a special purpose (IANA''s registries of RFC 6890) or may embed one.';

CREATE OR REPLACE FUNCTION mqtt.host_reason(host text, private_allowed boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_unless CONSTANT text := ', unless the operator allows those: the database''s setting allow_private_addresses, and the bridge''s TOPICBASE_ALLOW_PRIVATE_ADDRESSES';
    v_host text := lower(rtrim(host, '.'));
BEGIN
    IF v_host IS NULL THEN
        RETURN 'has no host';
    ELSIF v_host ~ ':' THEN
        IF v_host !~ '^[0-9a-f:.]{2,45}$' THEN
            RETURN 'is no host name or address';
        ELSIF mqtt.is_private_address(v_host::inet) AND NOT private_allowed THEN
            RETURN 'must not be a loopback, link-local or private address' || v_unless;
        END IF;
        RETURN NULL;
    -- 0x7f.1, 017700000001 and 2130706433 are 127.0.0.1 to some resolvers: only four plain decimal numbers pass as an address.
    ELSIF v_host ~ '(^|\.)(0x[0-9a-f]*|[0-9]+)$' THEN
        IF v_host !~ '^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(\.(?!$)|$)){4}$' THEN
            RETURN 'is no host name or address';
        ELSIF mqtt.is_private_address(v_host::inet) AND NOT private_allowed THEN
            RETURN 'must not be a loopback, link-local or private address' || v_unless;
        END IF;
        RETURN NULL;
    ELSIF v_host !~ '^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$' THEN
        RETURN 'is no host name or address (write an international name in its ASCII form, xn--…)';
    ELSIF v_host ~ '(^|\.)(localhost|localhost\.localdomain|local|internal|home\.arpa)$|^(ip6-localhost|ip6-loopback)$' AND NOT private_allowed THEN
        RETURN 'must not be a name of this machine or its private network' || v_unless;
    -- A search domain would complete it to a name of the network behind the bridge.
    ELSIF v_host !~ '\.' AND NOT private_allowed THEN
        RETURN 'must be a full host name, with its domain';
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN invalid_text_representation THEN
        RETURN 'is no host name or address';
END;
$$;
COMMENT ON FUNCTION mqtt.host_reason(text, boolean) IS
'Why a tenant may not name this host, as the end of a sentence; null when it may. Whoever connects checks the resolved address again.';

CREATE OR REPLACE FUNCTION mqtt.url_parts(url text) RETURNS text []
LANGUAGE sql IMMUTABLE SECURITY INVOKER PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN p IS NOT NULL THEN ARRAY[lower(p[1]), p[2], coalesce(p[3], p[4]), p[5], p[6], p[7]] END
    FROM regexp_match(url, '^([A-Za-z][A-Za-z0-9+.-]*)://([^/?#@]*@)?(?:\[([^]/?#@[]+)\]|([^]/:?#@[]+))(?::([0-9]{1,5}))?(/[^?#]*)?([?#].*)?$') AS p;
END;
COMMENT ON FUNCTION mqtt.url_parts(text) IS
'Scheme, userinfo@, host (without brackets), port, path, query and fragment of a URL (RFC 3986 appendix B); null when it is none.';

CREATE OR REPLACE FUNCTION mqtt.callback_url_reason(url text, private_allowed boolean) RETURNS text
LANGUAGE sql IMMUTABLE SECURITY INVOKER
BEGIN ATOMIC
    SELECT CASE
        WHEN octet_length(url) > 2048 THEN 'has more than 2,048 bytes'
        WHEN url ~ '[^\u0021-\u007e]' THEN 'holds a blank, a control or a character beyond ASCII (write it as %XX)'
        WHEN p.parts IS NULL THEN 'is no URL'
        WHEN p.parts[1] = 'http' AND NOT private_allowed THEN 'must start with https://'
        WHEN p.parts[1] NOT IN ('http', 'https') THEN 'must start with https://'
        WHEN p.parts[2] IS NOT NULL THEN 'must hold no user name or password'
        WHEN p.parts[4]::integer NOT BETWEEN 1 AND 65535 THEN 'has no valid port'
        ELSE mqtt.host_reason(p.parts[3], private_allowed)
    END
    FROM (SELECT mqtt.url_parts(url) AS parts) AS p;
END;
COMMENT ON FUNCTION mqtt.callback_url_reason(text, boolean) IS 'Why a tenant may not have this URL called, as the end of a sentence; null when it may.';
GRANT EXECUTE ON FUNCTION mqtt.is_private_address(inet), mqtt.host_reason(text, boolean), mqtt.url_parts(text),
mqtt.callback_url_reason(text, boolean) TO authenticated, service_role;
COMMIT;
