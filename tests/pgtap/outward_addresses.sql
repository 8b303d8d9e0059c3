-- Hosts and URLs that a tenant may name: no way to this machine, its network or a cloud's metadata.
\ir setup.psql
SELECT plan(90);
SELECT is(mqtt.host_reason(h, false), NULL, h || ' may be named')
FROM unnest('{broker.example.com,BROKER.Example.COM.,xn--bcher-kva.example,a_b.example.com,8.8.8.8,192.169.0.1,172.32.0.1,2606:4700::1111,localhost.example.com,127.0.0.1.example.com}'::text []) AS h;
SELECT isnt(mqtt.host_reason(h, false), NULL, h || ' may not')
FROM unnest('{localhost,LOCALHOST,localhost.,a.localhost,ip6-localhost,printer.local,metadata.google.internal,router.home.arpa,
127.0.0.1,127.1.2.3,0.0.0.0,10.0.0.1,10.255.255.255,172.16.0.1,172.31.255.255,192.168.1.1,169.254.169.254,100.64.0.1,224.0.0.1,255.255.255.255,
::,::1,::ffff:127.0.0.1,::ffff:7f00:1,::127.0.0.1,64:ff9b::7f00:1,2002:7f00:1::,fe80::1,fd00:ec2::254,fc00::1,ff02::1,
192.0.2.1,192.31.196.1,192.52.193.1,192.88.99.1,192.175.48.1,198.51.100.1,203.0.113.1,64:ff9b:1::1,100::1,100:0:0:1::1,2001:2::1,2001:db8::1,2620:4f:8000::1,
3fff::1,5f00::1,4000::1,postgres,metadata}'::text []) AS h;
SELECT isnt(mqtt.host_reason(h, true), NULL, quote_literal(left(h, 20)) || ' is no host')
FROM unnest(ARRAY['', ' ', '127.1', '0x7f.0.0.1', '0177.0.0.1', '2130706433', '0x7f000001', '1.2.3.4.5', '256.1.1.1', '1.2.3.', 'a..b',
    '-a.b', 'a b', 'a/b', 'bücher.example', '１２７.0.0.1', 'fe80::1%eth0', '1:2:3', repeat('a', 64), repeat('a.', 127) || 'aa']) AS h;
SELECT matches(mqtt.host_reason('192.168.1.7', false), 'allow_private_addresses.*TOPICBASE_ALLOW_PRIVATE_ADDRESSES', 'what allows it is named');
SELECT is(mqtt.host_reason('10.0.0.1', true), NULL, 'an operator may allow private addresses');
SELECT is(mqtt.host_reason('localhost', true), NULL, 'and this machine');
SELECT is(mqtt.host_reason('postgres', true), NULL, 'and names without a domain');
SELECT is(mqtt.url_parts('mqtts://[2001:db8::1]:8883/x?y#z'), '{mqtts,NULL,2001:db8::1,8883,/x,?y#z}'::text [], 'a URL comes apart');
SELECT is(mqtt.url_parts('HTTP://u:p@h'), '{http,u:p@,h,NULL,NULL,NULL}'::text [], 'with its userinfo');
SELECT is(mqtt.url_parts('javascript:alert(1)'), NULL, 'what is no URL does not');
SELECT is(mqtt.callback_url_reason('https://hooks.example.com:8443/in?a=b', false), NULL, 'a webhook');
SELECT is(
    (
        SELECT array_agg(u)
        FROM unnest(ARRAY[
            'javascript:alert(1)', 'ftp://example.com/', 'file:///etc/passwd', 'https://', 'https:///x', 'example.com', '', 'https://u@example.com/',
            'https://user:pw@example.com/', 'https://example.com@127.0.0.1/', 'https://example.com\@127.0.0.1/', 'https://127.0.0.1/', 'http://[::1]/',
            'http://0x7f.1/', 'http://2130706433/', 'http://169.254.169.254/latest/meta-data', 'https://example.com:0/', 'https://example.com:99999/',
            'https://exa mple.com/', E'https://example.com/\r\nX: y', 'https://bücher.example/', 'https://example.com/' || repeat('x', 2048),
            'http://localhost:5432/', 'https://example.com:80:80/', 'https://[::1', 'http+unix://%2Fvar%2Frun'
        ]) AS u
        WHERE mqtt.callback_url_reason(u, false) IS NULL
    ), NULL, 'no URL around the guard'
);
SELECT matches(mqtt.callback_url_reason('https://user:hunter2@example.com/', false), '^must hold no user name', 'the fault names none of it');
SELECT is(mqtt.callback_url_reason('http://127.0.0.1:9/', true), NULL, 'where private addresses are allowed');
SELECT * FROM finish();
ROLLBACK;
