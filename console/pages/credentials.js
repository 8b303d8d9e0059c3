// Device logins: made, shown once, rotated, revoked, explained.
import { html, useEffect, useState } from '../vendor/view.js';
import { likeFor, request, rpc, view } from '../api.js';
import { Action, Badge, Card, Check, Choice, Code, Dialog, Table, Text, Waiting, When, say, useLoad } from '../parts.js';
import { Qr } from '../qr.js';
import { address, isWebSocket, snippets, topicOf } from '../snippets.js';
import { isAdmin } from '../state.js';

export function Snippets({ login, topic }) {
    const all = snippets(login, topic);
    const [shown, set] = useState(all[0][0]);
    return html`${isWebSocket(login) && html`<p class="dim">This broker speaks MQTT over WebSocket. mosquitto_pub and mosquitto_sub 2.0
        and PubSubClient do not; MQTT.js, paho and MQTTX do.</p>`}
    <div class="segments" role="group" aria-label="Language">
        ${all.map(([key, name]) => html`<button key=${key} type="button" aria-pressed=${key === shown} onClick=${() => set(key)}>
            ${name}</button>`)}</div>
    <${Code} text=${all.find(([key]) => key === shown)[2]} label="Snippet" testId="snippet" />`;
}

/** A login with its password, which no call shows again. */
export function NewLogin({ login, topic }) {
    const facts = [['Broker', login.broker_url], ['Username', login.username], ['Password', login.password],
        ['Client id', login.client_id], ['Topic prefix', login.topic_prefix]];
    return html`<p class="notice"><strong>Copy the password now.</strong> Only its hash is stored: nobody can show it again.</p>
    <div class="login">
        <dl class="facts mono">${facts.filter(([, fact]) => fact).map(([name, fact]) => html`<div key=${name}><dt>${name}</dt>
            <dd data-testid=${name}>${fact}</dd></div>`)}</dl>
        ${login.broker_url && html`<${Qr} text=${address(login)} label="The login as an MQTT address, as a QR code" />`}
    </div>
    ${login.broker_url && html`<${Snippets} login=${login} topic=${topic} />`}`;
}

const PAGE = 200;
const WAYS = [['both', 'Publish and subscribe'], ['publish', 'Publish only'], ['subscribe', 'Subscribe only']];

function Generate({ integrations, device, close, done }) {
    const [integrationId, setIntegration] = useState(integrations[0]?.id ?? '');
    const [prefix, setPrefix] = useState('');
    const [way, setWay] = useState('both');
    const [days, setDays] = useState('');
    const [login, setLogin] = useState(null);
    const call = () => rpc('generate_mqtt_credentials', {
        integration_id: integrationId, device_id: device?.id, topic_prefix: prefix || null,
        can_publish: way === 'subscribe' ? false : null, can_subscribe: way === 'publish' ? false : null,
        expires_at: days ? new Date(Date.now() + Number(days) * 86400000).toISOString() : null,
    });
    return html`<${Dialog} title=${login ? 'The new login' : 'New login'} close=${close}>${login
        ? html`<${NewLogin} login=${login} topic=${topicOf(login, device?.external_id)} />`
        : html`<div class="form">
            ${!device && html`<${Choice} label="Integration" value=${integrationId} set=${setIntegration}
                options=${integrations.map((i) => [i.id, i.name])} wide />`}
            <${Text} label="Topic prefix" value=${prefix} set=${setPrefix} wide hint=${device ? "Empty for the device's own topics." :
                "Empty for all of the organization's topics."} />
            <${Choice} label="May" value=${way} set=${setWay} options=${WAYS} />
            <${Text} label="Expires after days" value=${days} set=${setDays} inputmode="numeric" hint="Empty for never." />
            <${Action} kind="primary" call=${call} done=${(answer) => { setLogin(answer); done(); }}>Generate<//>
        </div>`}<//>`;
}

function Explain({ credential, close }) {
    const [action, setAction] = useState('publish');
    const [topic, setTopic] = useState(`${credential.topic_prefix}/`);
    const [answer, set] = useState(null);
    return html`<${Dialog} title=${`What may ${credential.username} do?`} close=${close}><div class="form">
        <${Choice} label="Action" value=${action} set=${setAction} options=${[['publish', 'Publish to'], ['subscribe', 'Subscribe to']]} />
        <${Text} label="Topic" value=${topic} set=${setTopic} wide />
        <${Action} kind="primary" call=${() => rpc('explain_mqtt_access', { credential_id: credential.id, action, topic })}
            done=${set}>Explain<//>
        ${answer && html`<div class="wide" role="status" data-testid="explanation"><p>
            <${Badge} state=${answer.allowed ? 'allowed' : 'denied'} /> ${answer.explanation}</p>
            ${answer.rules.length > 0 && html`<p class="dim">It may ${action} ${action === 'publish' ? 'to' :
                ''}: ${answer.rules.map((rule) => html`<code key=${rule}>${rule}</code> `)}</p>`}</div>`}
    </div><//>`;
}

function Rotate({ credential, close, done }) {
    const [grace, setGrace] = useState('0');
    const [login, set] = useState(null);
    return html`<${Dialog} title=${login ? 'The new password' : `New password for ${credential.username}`} close=${close}>${login
        ? html`<${NewLogin} login=${login} topic=${topicOf(login)} />`
        : html`<div class="form"><${Choice} label="The old password keeps working over HTTP for" value=${grace} set=${setGrace}
            options=${[['0', 'no time'], ['1 hour', 'an hour'], ['1 day', 'a day'], ['7 days', 'a week']]} wide />
            <${Action} kind="primary" call=${() => rpc('rotate_mqtt_credentials', { credential_id: credential.id, grace })}
                done=${(answer) => { set(answer); done(); }}>Rotate<//></div>`}<//>`;
}

/** The logins of an integration, of a device, or of an organization. */
export function Credentials({ organizationId, integrationId, integrations, device }) {
    const [open, setOpen] = useState(null); // [dialog, credential]
    const [typed, setTyped] = useState('');
    const [search, setSearch] = useState('');
    const [ended, setEnded] = useState(false);
    useEffect(() => {
        const timer = setTimeout(() => setSearch(typed.trim()), 200);
        return () => clearTimeout(timer);
    }, [typed]);
    const like = search && likeFor(search);
    const query = {
        or: like ? `(username.ilike.${like},topic_prefix.ilike.${like})` : undefined,
        organization_id: organizationId && `eq.${organizationId}`, integration_id: integrationId && `eq.${integrationId}`,
        device_id: device && `eq.${device.id}`, status: ended ? undefined : 'eq.active', order: 'created_at.desc', limit: PAGE,
    };
    const state = useLoad((options) => request(view('mqtt_credentials', query), options), [JSON.stringify(query)], 5000);
    const close = () => setOpen(null);
    const rows = state.data ?? [];
    const choices = integrations ?? [{ id: integrationId }];
    return html`<${Card} title="Logins" wide aside=${html`<div class="row">${!device && html`<input type="search"
            placeholder="Username or prefix" aria-label="Search logins" value=${typed}
            onInput=${(e) => setTyped(e.currentTarget.value)} />`}
        ${isAdmin.value && choices.length > 0 &&
            html`<button type="button" class="primary" onClick=${() => setOpen(['new'])}>New login</button>`}</div>`}>
        <${Check} label="Also those that were revoked or have expired" value=${ended} set=${setEnded} />
        <${Waiting} of=${state} empty=${rows.length === 0 &&
            (search ? `No login matches “${search}”.` : device ? 'No login is bound to this device; those of the whole organization may use its topics, too.' :
                'No device has a login.')}>
            <${Table} label="Logins" head=${['Username', 'Prefix', 'May', 'Status', 'Last used', '']}>
                ${rows.map((row) => html`<tr key=${row.id}>
                <td class="mono">${row.username}</td>
                <td class="mono break prefix">${row.topic_prefix.split('/').map((level) => html`${level}/<wbr />`)}</td>
                <td>${[row.can_publish && 'publish', row.can_subscribe && 'subscribe'].filter(Boolean).join(', ')}</td>
                <td><${Badge} state=${row.status} /></td><td><${When} at=${row.last_connected_at} none="never" /></td>
                <td><div class="buttons">${isAdmin.value && html`<button type="button" class="small"
                    onClick=${() => setOpen(['explain', row])} aria-label=${`Explain the access of ${row.username}`}>Explain</button>
                    ${row.status === 'active' && html`<button type="button" class="small" onClick=${() => setOpen(['rotate', row])}
                        aria-label=${`Rotate the password of ${row.username}`}>Rotate</button>
                    <${Action} small call=${rpc('revoke_mqtt_credentials', { credential_id: row.id })} name=${`Revoke ${row.username}`}
                        sure="The device can no longer log in, from its next request on."
                            done=${() => { say('Revoked.'); state.reload(); }}>Revoke<//>`}
                    ${row.status !== 'active' && html`<${Action} small call=${rpc('delete_mqtt_credentials', { credential_id: row.id })}
                        name=${`Delete ${row.username}`} sure="It is no longer listed here. The messages that it sent stay."
                            done=${() => { say('Deleted.'); state.reload(); }}>Delete<//>`}`}</div></td></tr>`)}<//>
        <//>
        ${rows.length === PAGE && html`<p class="dim">The newest ${PAGE} are shown: search for others.</p>`}
        ${open?.[0] === 'new' && html`<${Generate} integrations=${choices} device=${device} close=${close} done=${state.reload} />`}
        ${open?.[0] === 'explain' && html`<${Explain} credential=${open[1]} close=${close} />`}
        ${open?.[0] === 'rotate' && html`<${Rotate} credential=${open[1]} close=${close} done=${state.reload} />`}
    <//>`;
}
