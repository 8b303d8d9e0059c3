import { html, useEffect, useState } from '../vendor/view.js';
import { request, rpc, view } from '../api.js';
import { moment, span } from '../format.js';
import { useIntegrations } from '../live.js';
import { Action, Badge, Card, Check, Choice, Dialog, Head, Problem, Since, Table, Text, Waiting, When, parsed, say, useLoad } from '../parts.js';
import { go, href, isAdmin, organization, route } from '../state.js';
import { Facts } from './message.js';
import { PayloadRules } from './rules.js';

const TYPES = [['mqtt_hosted', 'Hosted: the broker beside this database'], ['mqtt_external', 'External: a broker of your own']];
const EVERY = 3000;
const NAMED = ['broker_url', 'username', 'password', 'topic_pattern'];
const DERIVED = ['protocol', 'port', 'use_tls', 'path'];

/** The settings as a URL that says the same, for the form: the API stores its parts. */
function urlOf(settings) {
    const { broker_url: host, protocol = 'mqtt', port, path = '' } = settings;
    return host ? `${protocol}://${host}${port ? `:${port}` : ''}${path}` : '';
}

function IntegrationForm({ integration, done, close }) {
    const settings = integration?.settings ?? {};
    const [name, setName] = useState(integration?.name ?? '');
    const [type, setType] = useState(integration?.integration_type ?? 'mqtt_external');
    const [url, setUrl] = useState(urlOf(settings));
    const [username, setUsername] = useState(settings.username ?? '');
    const [password, setPassword] = useState('');
    const [pattern, setPattern] = useState(settings.topic_pattern ?? '');
    const rest = Object.fromEntries(Object.entries(settings).filter(([key]) => ![...NAMED, ...DERIVED].includes(key) &&
        !key.startsWith('has_')));
    const [more, setMore] = useState(JSON.stringify(rest));
    const isHosted = type === 'mqtt_hosted';
    function call() {
        const given = { ...parsed(more || '{}', 'Other settings') };
        if (pattern) given.topic_pattern = pattern;
        if (!isHosted) Object.assign(given, { broker_url: url }, username ? { username } : {}, password ? { password } : {});
        return rpc('upsert_integration', { organization_id: organization.value.id, integration_id: integration?.id, name, integration_type:
            type, settings: given });
    }
    return html`<${Dialog} title=${integration ? `Edit ${integration.name}` : 'New integration'} close=${close}><div class="form">
        <${Text} label="Name" value=${name} set=${setName} wide />
        <${Choice} label="Broker" value=${type} set=${setType} options=${integration ?
            TYPES.filter(([key]) => (key === 'mqtt_hosted') === isHosted) : TYPES} wide />
        ${!isHosted && html`<${Text} label="Broker URL" value=${url} set=${setUrl} wide placeholder="mqtts://broker.example.com"
            hint="mqtt, mqtts, ws or wss; only the host is required." />
            <${Text} label="Username" value=${username} set=${setUsername} />
            <${Text} label="Password" type="password" value=${password} set=${setPassword} hint=${integration?.has_password ?
                'Stored; empty to keep it.' : 'Sealed before it is stored; no call returns it.'} autocomplete="new-password" />`}
        <${Text} label="Topic pattern" value=${pattern} set=${setPattern} wide
            placeholder="{organization_prefix}/devices/{device_id}/{message_type}"
                hint="What each level of a topic means; empty for the default shown." />
        <${Text} label="Other settings (JSON)" value=${more} set=${setMore} wide area=${2}
            hint="As in the API reference, such as qos limits, certificates or status_topic." />
        <${Action} kind="primary" call=${call} done=${(row) => { say('Saved.'); done(row); close(); }}>${integration ? 'Save' :
            'Create'}<//>
    </div><//>`;
}

// In the order in which the bridge takes them: the verdict's word, ours, and the fact that says how long it took.
const STAGES = [['settings', 'Settings'], ['dns', 'Name', 'dns_ms'], ['tcp', 'Connection', 'tcp_ms'], ['tls', 'TLS', 'tls_ms'],
    ['websocket', 'WebSocket', 'websocket_ms'], ['connack', 'Login'], ['subscribe', 'Subscribe'], ['publish', 'Publish', 'publish_ms'],
    ['round_trip', 'Round trip', 'round_trip_ms']];
const TOLD = new Set(['ok', 'reason', 'stage', 'reachable', 'authenticated', 'may_subscribe', 'may_publish', 'elapsed_ms',
    ...STAGES.map(([, , key]) => key)]);

/** The stages of a test: while it runs, up to the one that it is at. */
function Stages({ result, settings, isDone }) {
    const isWanted = { settings: false, tls: Boolean(settings.use_tls), websocket: /^ws/.test(settings.protocol) };
    const isPart = ([stage, , key]) => stage === result.stage || key in result || (isWanted[stage] ?? true);
    const parts = STAGES.filter(isPart);
    const last = parts.findIndex(([stage]) => stage === result.stage);
    function verdict(index) {
        if (index > last + (isDone ? 0 : 1)) return isDone && html`<span class="dim">not tried</span>`;
        if (!isDone) return html`<${Badge} state=${index > last ? 'running' : 'success'} />`;
        return html`<${Badge} state=${index < last || result.ok ? 'success' : 'failed'} />`;
    }
    return html`<ol class="list" aria-label="Stages">${parts.map(([stage, text, key], index) => html`<li key=${stage}>
        <span class="grow">${text}</span>
        <span class="dim">${result[key] == null ? '' : span(result[key] / 1000)}</span>
        ${verdict(index)}
    </li>`)}</ol>`;
}

/** Follows a connection test until its verdict is there. */
function ConnectionTest({ integration }) {
    const [id, setId] = useState(null);
    const [test, set] = useState(null);
    const [error, setError] = useState(null);
    useEffect(() => {
        if (!id) return undefined;
        const abort = new AbortController();
        (async () => {
            try {
                let answer;
                do {
                    const stage = answer?.result?.stage ?? '';
                    answer = await request(rpc('get_mqtt_request', { request_id: id, wait: 2, stage }), { signal: abort.signal });
                    set(answer);
                } while (answer.status !== 'done');
            } catch (problem) {
                if (!abort.signal.aborted) setError(problem);
            }
        })();
        return () => abort.abort();
    }, [id]);
    const isDone = test?.status === 'done';
    const result = test?.result;
    const shown = isDone && Object.entries(result).filter(([key]) => !TOLD.has(key));
    return html`<${Card} title="Connection test">
        <p class="dim">The bridge connects, logs in and sends a message to itself.</p>
        <${Action} call=${rpc('mqtt_test_connection', { integration_id: integration.id })}
            done=${(answer) => { setError(null); set({ status: 'queued' }); setId(answer.request_id); }}>Test the connection<//>
        <${Problem} error=${error} />
        <div role="status" data-testid="verdict">${test && html`
            <p><${Badge} state=${isDone ? (result.ok ? 'success' : 'failed') : test.status}>${isDone ?
                (result.ok ? 'It works' : 'It fails') : test.status === 'queued' ? 'waiting for the bridge' : 'running'}<//>
                    ${result?.reason ? ` ${result.reason}` : ''}</p>
            ${test.status !== 'queued' && html`<${Stages} result=${result ?? {}} settings=${integration.settings} isDone=${isDone} />`}
            ${shown && html`<${Facts} facts=${shown.map(([key, fact]) => [key.replaceAll('_', ' '),
                typeof fact === 'object' ? JSON.stringify(fact) : String(fact)])} />`}`}</div>
    <//>`;
}

function SubscriptionForm({ integration, subscription, close, done }) {
    const prefix = integration.integration_type === 'mqtt_hosted' ? `${organization.value.topic_prefix}/` : '';
    const [topic, setTopic] = useState(subscription?.topic ?? `${prefix}#`);
    const [qos, setQos] = useState(String(subscription?.qos ?? 1));
    const [url, setUrl] = useState(subscription?.callback_url ?? '');
    const [ordered, setOrdered] = useState(subscription?.callback_ordered ?? false);
    const [paused, setPaused] = useState(subscription?.is_paused ?? false);
    const [secret, setSecret] = useState(null);
    const call = () => rpc('mqtt_subscribe', {
        integration_id: integration.id, topic, qos: Number(qos), callback_url: url || null, callback_ordered: ordered, is_paused: paused,
        no_local: subscription?.no_local, retain_handling: subscription?.retain_handling,
    });
    function finished(answer) {
        done();
        say('Subscribed.');
        if (answer.callback_secret) setSecret(answer.callback_secret);
        else close();
    }
    return html`<${Dialog} title=${secret ? 'The secret of the webhook' : subscription ? 'Change the subscription' : 'New subscription'}
        close=${close}>${secret
        ? html`<p class="notice"><strong>Copy the secret now.</strong> Requests are signed with it; nobody can show it again.</p><p>
            <code class="break" data-testid="secret">${secret}</code></p>`
        : html`<div class="form">
            <${Text} label="Topic filter" value=${topic} set=${setTopic} wide disabled=${Boolean(subscription)} />
            <${Choice} label="QoS" value=${qos} set=${setQos} options=${['0', '1', '2'].map((q) => [q, q])} />
            <${Text} label="Webhook URL" value=${url} set=${setUrl} wide placeholder="https://app.example.com/hooks/mqtt"
                hint="Matching messages are posted to it, signed; empty for none." />
            <${Check} label="Post in order" value=${ordered} set=${setOrdered} />
            <${Check} label="Paused" value=${paused} set=${setPaused} />
            <${Action} kind="primary" call=${call} done=${finished}>${subscription ? 'Save' : 'Subscribe'}<//>
        </div>`}<//>`;
}

function Subscriptions({ integration }) {
    const [form, setForm] = useState(null);
    const state = useLoad((options) => request(view('mqtt_subscriptions', { integration_id: `eq.${integration.id}`, order: 'topic' }),
        options), [integration.id], EVERY);
    return html`<${Card} title="Subscriptions" wide aside=${isAdmin.value &&
        html`<button type="button" class="primary" onClick=${() => setForm({})}>New subscription</button>`}>
        <${Waiting} of=${state} empty=${state.data?.length === 0 && 'None: messages that reach the broker over MQTT are not stored.'}>
            <${Table} label="Subscriptions" head=${['Filter', 'QoS', 'Webhook', 'Status', '']}>
                ${state.data?.map((s) => html`<tr key=${s.id}>
                <td class="mono break">${s.topic}</td><td>${s.qos}</td><td class="break">${s.callback_url ?? ''}</td>
                <td><${Badge} state=${s.is_paused ? 'paused' : s.status} />${s.status_detail &&
                    html`<div class="dim">${s.status_detail}</div>`}</td>
                <td><div class="buttons">${isAdmin.value && html`<button type="button" class="small" aria-label=${`Edit ${s.topic}`}
                    onClick=${() => setForm(s)}>Edit</button>
                    <${Action} small name=${`Unsubscribe from ${s.topic}`} call=${rpc('mqtt_unsubscribe', { subscription_id: s.id })}
                        sure="Messages that match it are no longer stored or posted."
                            done=${() => { say('Unsubscribed.'); state.reload(); }}>Unsubscribe<//>`}</div></td></tr>`)}<//>
        <//>
        ${form && html`<${SubscriptionForm} integration=${integration} subscription=${form.id ? form : undefined}
            close=${() => setForm(null)} done=${state.reload} />`}
    <//>`;
}

function Integration({ id }) {
    const [edits, setEdits] = useState(false);
    const state = useIntegrations(organization.value.id, id);
    const row = state.data?.[0];
    const upsert = (status) => rpc('upsert_integration', { organization_id: row.organization_id, integration_id: row.id, name: row.name,
        integration_type: row.integration_type, status });
    return html`<p class="crumbs"><a href=${href('integrations')}>Integrations</a></p>
        <${Waiting} of=${state} empty=${state.data?.length === 0 && 'There is no such integration that you may see.'}>${row && html`
        <${Head} title=${row.name} note=${html`<${Badge} state=${row.status} /> <${Since} at=${row.status_changed_at} />`}>
            ${isAdmin.value && html`<button type="button" onClick=${() => setEdits(true)}>Edit</button>
            ${row.status === 'inactive'
                ? html`<${Action} call=${() => upsert('active')} done=${state.reload}>Switch on<//>`
                : html`<${Action} call=${() => upsert('inactive')} done=${state.reload}
                    sure="Its calls are refused and its connection is closed until it is switched on again.">Switch off<//>`}`}
        <//>
        ${row.status_detail && html`<p class="notice bad">${row.status_detail}</p>`}
        <div class="grid">
            <${Card} title="Settings"><${Facts} facts=${[['Type', row.integration_type],
                ...Object.entries(row.settings).map(([key, fact]) => [key,
                    html`<code class="break">${typeof fact === 'string' ? fact : JSON.stringify(fact)}</code>`]),
                        ['Changed', moment(row.updated_at)], ['Id', html`<code>${row.id}</code>`]]} /><//>
            ${isAdmin.value && html`<${ConnectionTest} integration=${row} />`}
            <${Subscriptions} integration=${row} />
            <${PayloadRules} integration=${row} />
            ${isAdmin.value && html`<${Card} title="Delete">
                <p class="dim">Deletes its logins, devices and subscriptions, too. The history stays until its retention ends.</p>
                <${Action} kind="danger" call=${rpc('delete_integration', { integration_id: row.id })}
                    sure=${`Delete ${row.name} with all of its devices and logins?`}
                        done=${() => { say('Deleted.'); go('integrations'); }}>Delete the integration<//><//>`}
        </div>
        ${edits && html`<${IntegrationForm} integration=${row} close=${() => setEdits(false)} done=${state.reload} />`}`}<//>`;
}

function List() {
    const { id } = organization.value;
    const [makes, setMakes] = useState(false);
    const state = useIntegrations(id);
    return html`<${Head} title="Integrations" note="Connections to brokers.">${isAdmin.value &&
        html`<button type="button" class="primary" onClick=${() => setMakes(true)}>New integration</button>`}<//>
        <${Waiting} of=${state} empty=${state.data?.length === 0 && 'No integration yet. The hosted one needs no broker of your own.'}>
            <${Table} label="Integrations" head=${['Name', 'Broker', 'Status', 'Since']}>${state.data?.map((row) => html`<tr key=${row.id}>
                <td><a class="strong" href=${href('integrations', row.id)}>${row.name}</a></td>
                <td>${row.integration_type === 'mqtt_hosted' ? 'hosted' : html`<span class="mono break">${urlOf(row.settings)}</span>`}</td>
                <td><${Badge} state=${row.status} />${row.status_detail && html`<div class="dim break">${row.status_detail}</div>`}</td>
                    <td class="nowrap"><${When} at=${row.status_changed_at} /></td></tr>`)}<//>
        <//>
        ${makes && html`<${IntegrationForm} close=${() => setMakes(false)} done=${(row) => go('integrations', row.id)} />`}`;
}

export default function Integrations() {
    const [id] = route.value.rest;
    return id ? html`<${Integration} key=${id} id=${id} />` : html`<${List} />`;
}
