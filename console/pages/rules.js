// An integration's payload rules: the list, presets, the form of a rule, and what the rules make of a message.
import { html, useState } from '../vendor/view.js';
import { request, rpc, view } from '../api.js';
import { moment } from '../format.js';
import { Action, Badge, Card, Choice, Dialog, Table, Text, Waiting, mistake, parsed, say, useLoad } from '../parts.js';
import { topicBy } from '../snippets.js';
import { isAdmin, organization } from '../state.js';

const ROLES = ['telemetry', 'status', 'event', 'command', 'attributes', 'ignore'].map((role) => [role, role]);
const KINDS = [['text', 'Text, JSON too'], ['base64', 'Bytes in base64']];
const EVERY = 5000;
const prefixOf = (integration) => (integration.integration_type === 'mqtt_hosted' ? `${organization.value.topic_prefix}/` : '');
const json = (value) => html`<code class="break">${JSON.stringify(value)}</code>`;

function RuleForm({ integration, rule, close, done }) {
    const [topic, setTopic] = useState(rule?.topic ?? prefixOf(integration));
    const [role, setRole] = useState(rule?.role ?? 'telemetry');
    const [position, setPosition] = useState(String(rule?.position ?? ''));
    const [device, setDevice] = useState(rule?.device ?? '');
    const [condition, setCondition] = useState(rule?.condition ?? '');
    const [decode, setDecode] = useState(rule?.decode ?? '');
    const [transform, setTransform] = useState(rule?.transform ?? '');
    const [presence, setPresence] = useState(rule?.presence ?? '');
    const [description, setDescription] = useState(rule?.description ?? '');
    const [metrics, setMetrics] = useState(JSON.stringify(rule?.metrics ?? { '*': '$' }));
    const [samples, setSamples] = useState(JSON.stringify(rule?.samples ?? []));
    const [time, setTime] = useState(rule?.time ? JSON.stringify(rule.time) : '');
    const [layout, setLayout] = useState(rule?.layout ? JSON.stringify(rule.layout) : '');
    const [offlineAfter, setOfflineAfter] = useState(String(rule?.offline_after ?? ''));
    const call = () => rpc('upsert_payload_rule', {
        integration_id: integration.id, rule_id: rule?.id, topic, role, position: position ? Number(position) : null,
        device: device || null, condition: condition || null, decode: decode || null, transform: transform || null, presence: presence || null,
        description: description || null,
        metrics: parsed(metrics || '{}', 'Metrics'), samples: parsed(samples || '[]', 'Samples'), time: time ? parsed(time, 'Time') : null,
        layout: layout ? parsed(layout, 'Layout') : null, offline_after: offlineAfter ? Number(offlineAfter) : null,
    });
    return html`<${Dialog} title=${rule ? `Edit rule ${rule.position}` : 'New payload rule'} close=${close}><div class="form">
        ${rule?.preset && html`<p class="notice wide">The rule came from the preset ${rule.preset}: applying that again replaces it.</p>`}
        <${Text} label="Topic filter" value=${topic} set=${setTopic} wide />
        <${Choice} label="Role" value=${role} set=${setRole} options=${ROLES} />
        <${Text} label="Position" value=${position} set=${setPosition} inputmode="numeric"
            hint="The first rule that matches decides; empty for the end." />
        <${Text} label="Device" value=${device} set=${setDevice} placeholder="{topic[2]}" hint="Its id: {topic[2]}, {$.path} or {login}." />
        <${Text} label="Condition" value=${condition} set=${setCondition} wide placeholder='$.type == "location"'
            hint="SQL/JSON path predicate; empty for any payload." />
        <${Text} label="Metrics (JSON)" value=${metrics} set=${setMetrics} wide area=${3}
            hint=${'Names to paths, such as {"temperature": "$.t / 10"}; "*" for all members.'} />
        <${Text} label="Samples (JSON)" value=${samples} set=${setSamples}
            hint=${'Paths to several samples in a message: ["$.list[*]"].'} />
        <${Text} label="Time (JSON)" value=${time} set=${setTime} hint=${'{"path": "$.ts", "unit": "ms"}; empty to look for it.'} />
        <${Text} label="Presence" value=${presence} set=${setPresence} hint="Path to online or offline; of a status: the payload." />
        <${Text} label="Decode" value=${decode} set=${setDecode} hint="json, text, cbor, …; empty: by the content type." />
        <${Text} label="Layout (JSON)" value=${layout} set=${setLayout} hint="The fields of binary, the columns of csv, the schema of protobuf." />
        <${Text} label="Offline after" value=${offlineAfter} set=${setOfflineAfter} inputmode="numeric"
            hint="Seconds of silence; empty for the integration's setting." />
        <${Text} label="Transform" value=${transform} set=${setTransform} wide area=${2} placeholder="{mean: avg(values)}"
            hint="JMESPath that makes another document of the payload, for what paths cannot build; empty for none." />
        <${Text} label="Description" value=${description} set=${setDescription} />
        <${Action} kind="primary" call=${call} done=${() => { say('Saved.'); done(); close(); }}>${rule ? 'Save' : 'Add'}<//>
    </div><//>`;
}

/** Whether a subscription to `filter` brings all messages of `topics`, a filter too. */
function covers(filter, topics) {
    const [levels, others] = [filter.split('/'), topics.split('/')];
    return (levels.at(-1) === '#' || levels.length === others.length) && levels.every((level, index) => level === '#' ||
        (others[index] !== undefined && others[index] !== '#' && (level === '+' || level === others[index])));
}

/** The topics that a preset needs, with a button for those that the integration does not subscribe to. */
function Topics({ integration, topics }) {
    const state = useLoad((options) => request(view('mqtt_subscriptions', { integration_id: `eq.${integration.id}`, is_paused: 'is.false',
        select: 'topic' }), options), [integration.id]);
    return html`<${Waiting} of=${state}><ul class="list">${topics.map((topic) => html`<li key=${topic}>
        <code class="grow break">${topic}</code>${state.data?.some((s) => covers(s.topic, topic)) ?
            html`<${Badge} state="active">subscribed<//>` : html`<${Action} small name=${`Subscribe to ${topic}`}
                call=${rpc('mqtt_subscribe', { integration_id: integration.id, topic })}
                    done=${() => { say('Subscribed.'); state.reload(); }}>Subscribe<//>`}</li>`)}</ul><//>`;
}

function PresetForm({ integration, close, done }) {
    const presets = useLoad((options) => request(rpc('list_device_presets'), options), []);
    const [name, setName] = useState('');
    const [prefix, setPrefix] = useState('');
    const [applied, setApplied] = useState(null);
    const preset = presets.data?.find((p) => p.preset === name) ?? presets.data?.[0];
    return html`<${Dialog} title="Apply a preset" close=${close}><${Waiting} of=${presets}>${preset && html`<div class="form">
        <${Choice} label="Preset" value=${preset.preset} set=${(next) => { setName(next); setApplied(null); }} wide
            options=${presets.data.map((p) => [p.preset, p.title])} hint=${preset.description} />
        <${Text} label="Topic prefix" value=${prefix} set=${setPrefix} wide placeholder=${prefixOf(integration).slice(0, -1)}
            hint="Stands before all topics of the preset; empty for the default." />
        <p class="wide">Its ${preset.rules.length} rules come after those that are there, and replace those of the same preset.</p>
        <${Action} kind="primary" call=${() => rpc('apply_device_preset', { integration_id: integration.id, preset: preset.preset,
            topic_prefix: prefix || null })} done=${(answer) => { say('Applied.'); setApplied(answer); done(); }}>Apply<//>
        ${applied && html`<section class="wide" aria-label="Topics of the preset"><h3>${applied.rules.length} rules are in place. They
            need these topics:</h3><${Topics} integration=${integration} topics=${applied.topics} /></section>`}
    </div>`}<//><//>`;
}

function Made({ found }) {
    const { rule, payload, decode_error: error, transformed, samples, considered } = found;
    return html`<p>${rule ? html`Rule ${rule.position} decides: <code>${rule.topic}</code>` :
        html`No rule matches, so the topic pattern decides.`}</p>
        ${error && html`<p class="notice">${error}</p>`}
        <p class="dim">Payload: ${json(payload)}</p>
        ${transformed !== null && html`<p class="dim">Transformed: ${json(transformed)}</p>`}
        ${samples.length > 0 && html`<${Table} label="What the message says" head=${['Role', 'Device', 'Readings', 'Time', 'Why not more']}>
            ${samples.map((s, index) => html`<tr key=${index}><td>${s.role}</td><td class="mono break">${s.device ?? ''}</td>
                <td>${s.metrics && json(s.metrics)}${s.metadata && html`<div>metadata: ${json(s.metadata)}</div>`}
                    ${s.presence && html`<div><${Badge} state=${s.presence} /></div>`}</td>
                <td class="nowrap">${s.time ? moment(s.time) : ''}</td><td>${s.reason ?? ''}</td></tr>`)}<//>`}
        ${considered.length > 0 && html`<details><summary>Rules that were tried</summary><${Table} label="Rules that were tried"
            head=${['Position', 'Topic filter', 'Condition', 'Matches']}>${considered.map((r) => html`<tr key=${r.position}>
                <td>${r.position}</td><td class="mono break">${r.topic}</td><td class="mono break">${r.condition ?? ''}</td><td>
                    ${r.matches}</td></tr>`)}<//></details>`}`;
}

function base64(text) {
    return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));
}

function TryOut({ integration }) {
    const [topic, setTopic] = useState(topicBy(integration.settings.topic_pattern, organization.value.topic_prefix, 'sensor01',
        'telemetry'));
    const [kind, setKind] = useState('text');
    const [payload, setPayload] = useState('{"temperature": 21.5}');
    const [type, setType] = useState('');
    const [login, setLogin] = useState('');
    const [found, setFound] = useState(null);
    function call() {
        if (!topic) throw mistake('The topic is empty.');
        // As bytes, which is what a broker delivers: rules may decode them differently from what they look like.
        return rpc('try_payload_rules', { integration_id: integration.id, topic, content_type: type || null, login: login || null,
            payload_base64: kind === 'text' ? base64(payload) : payload });
    }
    return html`<${Card} title="Try a message" wide>
        <p class="dim">Shows what the rules make of it. Nothing is stored.</p>
        <div class="form">
            <${Text} label="Topic" value=${topic} set=${setTopic} wide />
            <${Text} label="Payload" value=${payload} set=${setPayload} wide area=${3} />
            <${Choice} label="Payload is" value=${kind} set=${setKind} options=${KINDS} />
            <${Text} label="Content type" value=${type} set=${setType} placeholder=${integration.settings.content_type ?? ''} />
            <${Text} label="Login" value=${login} set=${setLogin} hint="Of a device that sends over HTTP." />
            <${Action} kind="primary" call=${call} done=${setFound}>Try<//>
        </div>
        <div role="status" data-testid="tried">${found && html`<${Made} found=${found} />`}</div>
    <//>`;
}

export function PayloadRules({ integration }) {
    const [form, setForm] = useState(null);
    const [presets, setPresets] = useState(false);
    const state = useLoad((options) => request(view('payload_rules', { integration_id: `eq.${integration.id}`, order: 'position' }),
        options), [integration.id], EVERY);
    return html`<${Card} title="Payload rules" wide aside=${isAdmin.value && html`<div class="row">
            <button type="button" onClick=${() => setPresets(true)}>Apply a preset</button>
            <button type="button" class="primary" onClick=${() => setForm({})}>New rule</button></div>`}>
        <${Waiting} of=${state} empty=${state.data?.length === 0 &&
            'None: the topic pattern says which device a message is about, and JSON members are its readings.'}>
            <${Table} label="Payload rules" head=${['>Position', 'Topic filter', 'Role', 'Device', 'From', '']}>
                ${state.data?.map((rule) => html`<tr key=${rule.id}>
                <td class="right">${rule.position}</td>
                <td class="mono break">${rule.topic}${rule.condition && html`<div class="dim">${rule.condition}</div>`}</td>
                <td>${rule.role}</td><td class="mono break">${rule.device ?? ''}</td>
                <td>${rule.preset ?? ''}${rule.description && html`<div class="dim">${rule.description}</div>`}</td>
                <td><div class="buttons">${isAdmin.value && html`<button type="button" class="small"
                    aria-label=${`Edit rule ${rule.position}`} onClick=${() => setForm(rule)}>Edit</button>
                    <${Action} small name=${`Delete rule ${rule.position}`} call=${rpc('delete_payload_rule', { rule_id: rule.id })}
                        sure="Readings that it made stay."
                            done=${() => { say('Deleted.'); state.reload(); }}>Delete<//>`}</div></td></tr>`)}<//>
        <//>
        ${presets && html`<${PresetForm} integration=${integration} close=${() => setPresets(false)} done=${state.reload} />`}
        ${form && html`<${RuleForm} integration=${integration} rule=${form.id ? form : undefined} close=${() => setForm(null)}
            done=${state.reload} />`}
    <//>
    <${TryOut} integration=${integration} />`;
}
