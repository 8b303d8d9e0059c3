import { html, useEffect, useState } from '../vendor/view.js';
import { likeFor, request, rpc, view } from '../api.js';
import { series } from '../data.js';
import { value } from '../format.js';
import { Head, Presence, Table, Waiting, When, useLoad } from '../parts.js';
import { Spark } from '../plot.js';
import { href, keep, organization, route } from '../state.js';
import { subscribe } from '../stream.js';
import Device from './device.js';

const PAGE = 50;
const SHOWN = 3;
const LONG = 60;
const EVERY = 5000;
const HOUR = 3600000;
const MINUTE = 60000;

/** The metrics of a device that are numbers, those that changed last first. */
export function metricsOf(device) {
    return Object.entries(device.latest ?? {})
        .filter(([, reading]) => typeof reading.value === 'number')
        .sort(([a, one], [b, other]) => other.at.localeCompare(one.at) || a.localeCompare(b))
        .map(([name]) => name);
}

/** The first metric by name: the same in each row of a list whatever came last. */
const chief = (device) => metricsOf(device).sort()[0];

function useSparks(devices) {
    const [lines, set] = useState(new Map());
    const [minute, setMinute] = useState(0);
    const key = (devices ?? []).map((d) => d.id).join();
    useEffect(() => {
        const timer = setInterval(() => document.hidden || setMinute((n) => n + 1), MINUTE);
        return () => clearInterval(timer);
    }, []);
    useEffect(() => {
        const abort = new AbortController();
        const named = (devices ?? []).filter(chief);
        if (named.length) {
            const until = Date.now();
            // By their ids: external ids repeat between integrations, and the answer names devices by those.
            const groups = Map.groupBy ? Map.groupBy(named, (d) => d.integration_id) : new Map([[null, named]]);
            Promise.all([...groups].map(([integration, group]) => series({
                deviceIds: group.map((d) => d.id), metrics: [...new Set(group.map(chief))], since: until - HOUR, until, points: 61,
            }, { signal: abort.signal }).then((found) => found.series.map((line) => [`${integration}/${line.device}/${line.metric}`,
                line.points])))).then(
                (all) => set(new Map(all.flat())), () => {},
            );
        }
        return () => abort.abort();
    }, [key, minute]);
    return (device) => lines.get(`${device.integration_id}/${device.external_id}/${chief(device)}`);
}

/** What the stream says of presence, by device: while the list has all devices, since it begins with each of them. */
function usePresence(organizationId, isWanted) {
    const [found, set] = useState(new Map());
    useEffect(() => {
        if (!isWanted) return undefined;
        const stop = subscribe({ stream: 'presence', organization_id: organizationId }, {
            rows: (rows) => set((old) => new Map([...old, ...rows.map((row) => [row.id, row])])),
            began() {},
            lost: () => set(new Map()),
        });
        return () => {
            stop();
            set(new Map());
        };
    }, [organizationId, isWanted]);
    return (device) => found.get(device.id) ?? device.presence;
}

const brief = (text) => (text.length > LONG ? `${text.slice(0, LONG)}…` : text);

function Latest({ device }) {
    const isNumber = ([, reading]) => typeof reading.value === 'number';
    const entries = Object.entries(device.latest ?? {}).sort((a, b) => isNumber(b) - isNumber(a) || a[0].localeCompare(b[0]));
    return html`<ul class="latest">${entries.slice(0, SHOWN).map(([name, reading]) => html`<li key=${name}><span class="dim">
        ${name}</span> <strong>${brief(value(reading.value))}</strong></li>`)}
        ${entries.length > SHOWN && html`<li class="dim">and ${entries.length - SHOWN} more</li>`}</ul>`;
}

/** The search that the address names, and the pages that the history has for it: of a search their offsets, else cursors. */
const asked = () => ({ search: route.value.query.get('search') ?? '', cursors: history.state?.cursors ?? [null] });

function List() {
    const { id } = organization.value;
    const [typed, setTyped] = useState('');
    const [{ search, cursors }, setShown] = useState(asked);
    useEffect(() => { // the address tells, whatever this list was showing before
        setTyped(asked().search);
        setShown(asked());
    }, [route.value]);
    useEffect(() => {
        const wanted = typed.trim();
        const timer = setTimeout(() => setShown((old) => (old.search === wanted ? old : { search: wanted, cursors: [null] })), 200);
        return () => clearTimeout(timer);
    }, [typed]);
    useEffect(() => keep({ search }, { cursors }), [search, cursors]);
    const cursor = cursors.at(-1);
    const setCursors = (to) => setShown({ search, cursors: to });
    const state = useLoad(async (options) => {
        if (!search) return request(rpc('list_devices', { organization_id: id, limit: PAGE, cursor }), options);
        const like = likeFor(search);
        const found = await request(view('devices', { organization_id: `eq.${id}`, or: `(external_id.ilike.${like},name.ilike.${like})`,
            order: 'external_id,id', offset: cursor, limit: PAGE + 1 }), options);
        return { devices: found.slice(0, PAGE), next_cursor: found.length > PAGE ? (cursor ?? 0) + PAGE : null };
    }, [id, search, cursor], EVERY);
    const devices = state.data?.devices;
    const spark = useSparks(devices);
    const presence = usePresence(id, Boolean(devices) && !search && !cursor && !state.data.next_cursor);
    return html`<${Head} title="Devices" note="A device's first message registers it.">
        <input type="search" placeholder="Search by name or id" aria-label="Search devices" value=${typed}
            onInput=${(e) => setTyped(e.currentTarget.value)} />
        <a class="button primary" href=${href('start')}>Connect a device</a>
    <//>
    <${Waiting} of=${state} empty=${devices?.length === 0 &&
        (search ? `No device matches “${search}”.` : html`No device yet. <a
            href=${href('start')}>Connect one</a>, and it appears here with its first message.`)}>
        <${Table} label="Devices" head=${['Device', 'Latest values', 'Last hour', 'Last seen']}>
            ${devices?.map((d) => html`<tr key=${d.id}>
                <td><a class="strong" href=${href('devices', d.id)}>${d.name ?? d.external_id}</a>${d.name &&
                    html`<div class="dim mono">${d.external_id}</div>`}</td>
                <td><${Latest} device=${d} /></td>
                <td class="sparks"><${Spark} points=${spark(d)} />${chief(d) && html`<div class="dim">${chief(d)}</div>`}</td>
                <td class="nowrap"><${When} at=${d.last_seen_at} none="never" /><div class="dim"><${Presence} of=${presence(d)} /></div></td>
            </tr>`)}
        <//>
        ${(cursors.length > 1 || state.data?.next_cursor) && html`<div class="row pager">
            <button type="button" disabled=${cursors.length === 1} onClick=${() => setCursors(cursors.slice(0, -1))}>Previous</button>
            <button type="button" disabled=${!state.data?.next_cursor}
                onClick=${() => setCursors([...cursors, state.data.next_cursor])}>Next</button>
        </div>`}
    <//>`;
}

export default function Devices() {
    const [deviceId] = route.value.rest;
    return deviceId ? html`<${Device} key=${deviceId} id=${deviceId} />` : html`<${List} />`;
}
