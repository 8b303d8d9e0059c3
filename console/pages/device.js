import { html, useState } from '../vendor/view.js';
import { request, rpc, view } from '../api.js';
import { count, moment } from '../format.js';
import { useDevice } from '../live.js';
import { Action, Badge, Card, Check, Dialog, Head, Presence, Problem, Table, Tabs, Text, Waiting, When, parsed, say, useLoad,
    withRows } from '../parts.js';
import { go, href, isAdmin, organization, route } from '../state.js';
import { Credentials } from './credentials.js';
import { topicBy } from '../snippets.js';
import { Download } from './export.js';
import { Facts, Publish } from './message.js';
import { MessageTable, SHOWN, useTail } from './messages.js';
import { Readings } from './readings.js';

const EVERY = 2000;
const KEPT = 50;

function DeviceCommands({ device }) {
    const integration = useLoad(async (options) => (await request(view('device_integrations', { id: `eq.${device.integration_id}` }),
        options))[0],
        [device.integration_id]);
    if (!integration.data) return html`<${Waiting} of=${integration} />`;
    const topic = topicBy(integration.data.settings.topic_pattern, organization.value.topic_prefix, device.external_id, 'commands');
    return html`<${Commands} device=${device} topic=${topic} />`;
}

function Commands({ device, topic }) {
    const prefix = topic.replace(/[^/]*$/, '');
    const receipts = useLoad(async (options) => (await request(view('mqtt_publish_receipts', {
        organization_id: `eq.${device.organization_id}`, integration_id: `eq.${device.integration_id}`, topic:
            `like.${prefix.replaceAll(/[\\%_]/g, '\\$&')}*`,
        order: 'queued_at.desc', limit: KEPT,
    }), options)).map(({ id, ...row }) => ({ receipt_id: id, ...row })), [device.id], EVERY, {
        follow: [{ stream: 'receipts', organization_id: device.organization_id, topic: `${prefix}#` }],
        merge: (old, rows) => withRows(old, rows.filter((row) => row.integration_id === device.integration_id), 'receipt_id')
            .sort((a, b) => b.queued_at.localeCompare(a.queued_at)).slice(0, KEPT),
    });
    return html`<div class="grid">
        <${Card} title="Send a command"><${Publish} integrationId=${device.integration_id} topic=${topic} done=${receipts.reload} /><//>
        <${Card} title="Commands"><${Waiting} of=${receipts} empty=${receipts.data?.length === 0 && html`Nothing was published below <code>
            ${prefix}</code> yet.`}>
            <${Table} label="Receipts" head=${['Queued', 'Topic', 'State', 'Attempts']}>${receipts.data?.map((r) => html`<tr
                key=${r.receipt_id}>
                <td class="nowrap"><${When} at=${r.queued_at} /></td><td class="mono break">${r.topic}</td><td>
                    <${Badge} state=${r.state} />${r.reason && html`<div class="dim">${r.reason}</div>`}</td><td class="right">
                        ${r.attempts}</td></tr>`)}<//>
        <//><//>
    </div>`;
}

function DeviceMessages({ device }) {
    const { messages, error, isLoading } = useTail({ organization_id: device.organization_id, device_id: device.id }, false);
    return html`<${Problem} error=${error} />${messages.length
        ? html`<${MessageTable} messages=${messages.slice(0, SHOWN)} />`
        : !error && html`<p class="empty">${isLoading ? 'Loading…' : 'No message of this device is in the history.'}</p>`}`;
}

function Rename({ device, close, done }) {
    const [name, setName] = useState(device.name ?? '');
    const [metadata, setMetadata] = useState(JSON.stringify(device.metadata ?? {}));
    return html`<${Dialog} title="Edit the device" close=${close}><div class="form">
        <${Text} label="Name" value=${name} set=${setName} wide hint="Empty for its id in topics." />
        <${Text} label="Metadata (JSON)" value=${metadata} set=${setMetadata} wide area=${4} />
        <${Action} kind="primary" call=${() => rpc('sync_device', { integration_id: device.integration_id, external_id: device.external_id,
            name: name || (device.name && device.external_id), metadata: parsed(metadata || '{}', 'The metadata') })}
            done=${() => { say('Saved.'); done(); close(); }}>Save<//>
    </div><//>`;
}

/** How far the deletion is, until it is done. */
function Deletion({ id }) {
    const [isDone, setDone] = useState(false);
    const state = useLoad(async (options) => {
        const found = await request(rpc('get_deletion', { deletion_id: id }), options);
        setDone(found.state === 'done');
        return found;
    }, [id, isDone], isDone ? 0 : EVERY);
    return html`<${Waiting} of=${state}>${state.data && html`<p role="status"><${Badge} state=${state.data.state} />${' '}
        ${count(state.data.deleted.messages)} messages deleted${state.data.failure ? `; it is tried again: ${state.data.failure}` : ''}</p>`}<//>`;
}

const timeOf = (text) => (text ? new Date(text).toISOString() : undefined);

/** Its messages of a span of time: to a file, and away. */
function History({ device }) {
    const [since, setSince] = useState('');
    const [until, setUntil] = useState('');
    const [deletion, setDeletion] = useState(null);
    const query = { organization_id: device.organization_id, device_id: device.id, since: timeOf(since), until: timeOf(until) };
    return html`<${Card} title="History"><div class="row">
            <${Text} label="Received from" type="datetime-local" value=${since} set=${setSince} hint="Empty for the first message." />
            <${Text} label="Received before" type="datetime-local" value=${until} set=${setUntil} hint="Empty for the last one." /></div>
        <div class="row pager"><${Download} query=${query} name=${`${device.external_id}.csv`} />
        ${isAdmin.value && html`<${Action} kind="danger" call=${() => rpc('delete_messages', { ...query, time: 'received' })}
            sure=${`Delete the messages of ${device.external_id}${since || until ? ' in this span' : ''}, with their readings?`}
            done=${setDeletion}>Delete the messages<//>`}</div>
        ${deletion && html`<${Deletion} id=${deletion.id} />`}<//>`;
}

function Delete({ device }) {
    const [withData, setWithData] = useState(false);
    return html`<${Card} title="Delete">
        <p class="dim">Ends its logins. A message that comes later registers it again.</p>
        <${Check} label="Its messages, too; else they stay until their retention ends" value=${withData} set=${setWithData} />
        <${Action} kind="danger" call=${() => rpc('delete_device', { device_id: device.id, organization_id: device.organization_id,
            with_data: withData })} sure=${`Delete ${device.external_id}${withData ? ' with its messages' : ''}?`}
                done=${() => { say('Deleted.'); go('devices'); }}>Delete the device<//><//>`;
}

export default function Device({ id }) {
    const [edits, setEdits] = useState(false);
    const tab = route.value.rest[1] ?? 'readings';
    const state = useDevice(organization.value.id, id);
    const device = state.data;
    const tabs = [['readings', 'Readings'], ['table', 'Table'], ['messages', 'Messages'], ['commands', 'Commands'],
        ['credentials', 'Credentials']];
    return html`<p class="crumbs"><a href=${href('devices')}>Devices</a></p><${Waiting} of=${state}>${device && html`
        <${Head} title=${device.name ?? device.external_id}
            note=${html`<code>${device.external_id}</code> · last seen <${When} at=${device.last_seen_at} none="never" />${' '}
                <${Presence} of=${device.presence} />`}>
            <button type="button" onClick=${() => setEdits(true)}>Edit</button>
        <//>
        <${Tabs} label="Device" current=${tab} tabs=${tabs.map(([key, text]) => [key, text, href('devices', id, key)])} />
        ${(tab === 'readings' || tab === 'table') && html`<${Readings} device=${device} shows=${tab} isTold=${state.isFollowed} />`}
        ${tab === 'messages' && html`<${DeviceMessages} device=${device} />`}
        ${tab === 'commands' && html`<${DeviceCommands} device=${device} />`}
        ${tab === 'credentials' && html`<${Credentials} integrationId=${device.integration_id} device=${device} />`}
        <details class="card"><summary>About this device</summary><${Facts} facts=${[
            ['Id', html`<code>${device.id}</code>`], ['Integration',
                html`<a href=${href('integrations', device.integration_id)}>its integration</a>`],
                    ['Registered', moment(device.created_at)],
            ['Metadata', html`<code class="break">${JSON.stringify(device.metadata)}</code>`],
                ['Newest telemetry', html`<code class="break">${JSON.stringify(device.last_data)}</code>`],
        ]} /></details>
        <${History} device=${device} />
        ${isAdmin.value && html`<${Delete} device=${device} />`}
        ${edits && html`<${Rename} device=${device} close=${() => setEdits(false)} done=${state.reload} />`}`}<//>`;
}
