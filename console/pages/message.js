// One message, and publishing.
import { html, useState } from '../vendor/view.js';
import { rpc } from '../api.js';
import { moment } from '../format.js';
import { useReceipts } from '../live.js';
import { Action, Badge, Check, Choice, Dialog, Problem, Text, mistake, parsed, say } from '../parts.js';
import { asHex, asJson, asText } from '../payload.js';
import { organization } from '../state.js';

const FORMS = { json: ['JSON', asJson], text: ['Text', asText], hex: ['Hex', asHex] };

export function Payload({ message }) {
    const [form, set] = useState(message.body != null ? 'hex' : 'json');
    return html`<div class="payload">
        <div class="segments" role="group" aria-label="Payload as">
            ${Object.entries(FORMS).map(([key, [text]]) => html`<button key=${key} type="button" aria-pressed=${form === key}
                onClick=${() => set(key)}>${text}</button>`)}</div>
        <pre tabindex="0" role="region" aria-label="Payload" data-testid="payload">${FORMS[form][1](message)}</pre>
    </div>`;
}

export function Facts({ facts }) {
    return html`<dl class="facts">${facts.filter(([, fact]) => fact != null && fact !== '').map(([name, fact]) => html`<div key=${name}>
        <dt>${name}</dt><dd>${fact}</dd></div>`)}</dl>`;
}

export function MessageDialog({ message, close }) {
    const [publishes, setPublishes] = useState(false);
    return html`<${Dialog} title=${message.topic} close=${close}>
        <${Payload} message=${message} />
        <${Facts} facts=${[
            ['Direction', message.direction], ['Received', moment(message.received_at)], ['Measured', moment(message.measured_at)],
            ['Time of the device', message.sent_at && `${moment(message.sent_at)}${message.timestamp_ignored ?
                ' (not plausible, ignored)' : ''}`],
            ['Message type', message.message_type], ['Content type', message.content_type], ['QoS', String(message.qos)],
                ['Retain', message.retain ? 'yes' : 'no'],
            ['Decoding', message.decode_error], ['Id', html`<code>${message.id}</code>`],
            ['Properties', message.properties && Object.keys(message.properties).length > 0 &&
                html`<code class="break">${JSON.stringify(message.properties)}</code>`],
        ]} />
        ${publishes
            ? html`<${Publish} integrationId=${message.integration_id} topic=${message.topic} message=${message} />`
            : html`<div class="row"><button type="button" onClick=${() => setPublishes(true)}>Publish again…</button></div>`}
    <//>`;
}

/** Receipts, whose states show as they change. */
function Receipts({ ids }) {
    const { data, error } = useReceipts(organization.value.id, ids);
    const found = Object.fromEntries((data ?? []).map((row) => [row.receipt_id, row]));
    if (!ids.length) return null;
    return html`<ul class="list" aria-live="polite" aria-label="Receipts">
        ${ids.map((id) => html`<li key=${id}><code class="grow">${id}</code>
        <span class="dim">${found[id]?.reason ?? ''}</span><${Badge} state=${found[id]?.state ?? 'queued'} /></li>`)}</ul>
            <${Problem} error=${error} />`;
}

const KINDS = [['json', 'JSON'], ['text', 'Text'], ['base64', 'Base64']];

/** A form that publishes one message, and shows its receipt as its state changes. */
export function Publish({ integrationId, topic: given, message, done }) {
    const [topic, setTopic] = useState(given);
    const [kind, setKind] = useState(message?.body != null ? 'base64' : typeof message?.payload === 'string' ? 'text' : 'json');
    const [payload, setPayload] = useState(message ? message.body ??
        (typeof message.payload === 'string' ? message.payload : JSON.stringify(message.payload)) : '{"led": "on"}');
    const [qos, setQos] = useState(String(message?.qos ?? 1));
    const [retain, setRetain] = useState(message?.retain ?? false);
    const [expiry, setExpiry] = useState('');
    const [ids, setIds] = useState([]);
    function call() {
        if (!topic) throw mistake('The topic is empty.');
        return rpc('mqtt_publish', { integration_id: integrationId, messages: [{
            topic, payload: kind === 'json' ? parsed(payload, 'The payload') : payload, payload_encoding: kind, qos: Number(qos), retain,
            ...(expiry ? { message_expiry: Number(expiry) } : {}), ...(message?.content_type ? { content_type: message.content_type } : {}),
        }] });
    }
    return html`<div class="form">
        <${Text} label="Topic" value=${topic} set=${setTopic} wide />
        <${Text} label="Payload" value=${payload} set=${setPayload} wide area=${3} />
        <${Choice} label="Payload is" value=${kind} set=${setKind} options=${KINDS} />
        <${Choice} label="QoS" value=${qos} set=${setQos} options=${['0', '1', '2'].map((q) => [q, q])} />
        <${Text} label="Expires after seconds" value=${expiry} set=${setExpiry} inputmode="numeric" />
        <${Check} label="Retain" value=${retain} set=${setRetain} />
        <${Action} kind="primary" call=${call} done=${(answer) => {
            setIds([...answer.receipts.map((r) => r.receipt_id), ...ids].slice(0, 10)); say('Queued for publishing.'); done?.();
                }}>Publish<//>
        <${Receipts} ids=${ids} />
    </div>`;
}
