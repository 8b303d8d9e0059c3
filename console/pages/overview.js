import { html, useState } from '../vendor/view.js';
import { request, rpc, view } from '../api.js';
import { count, number, rate, span } from '../format.js';
import { useIntegrations, useStatistics, useStatus } from '../live.js';
import { Badge, Card, Head, Problem, Stat, Table, Waiting, When, useLoad } from '../parts.js';
import { Plot } from '../plot.js';
import { caller, href, isAdmin, organization } from '../state.js';
import { findings } from './installation.js';

const EVERY = 5000;
const MINUTE = 60000;

export const ledgerCall = (id, unit, since) => rpc('get_mqtt_ledger', { organization_id: id, unit, since });

/** One point per minute, zero where nothing was accepted. */
export function filled(rows, key, from, to, step) {
    const found = new Map(rows.map((row) => [Date.parse(row.at), row[key]]));
    const points = [];
    for (let at = Math.ceil(from / step) * step; at < to; at += step) points.push([at, found.get(at) ?? 0]);
    return points;
}

function Traffic({ rows }) {
    const until = Math.floor(Date.now() / MINUTE) * MINUTE + MINUTE;
    const since = until - 60 * MINUTE;
    const points = filled(rows, 'accepted', since, until, MINUTE);
    const total = points.reduce((sum, p) => sum + p[1], 0);
    return html`<${Card} title="Incoming messages" aside=${html`<span class="dim">${count(total)} within the hour, by minute</span>`} wide>
        <${Plot} label="Messages accepted per minute" points=${points} since=${since} until=${until} bars />
    <//>`;
}

function Ledger({ rows }) {
    const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
    const parts = [['completed', 'stored'], ['dead', 'dead letters'], ['expired', 'expired'], ['queued', 'in the queue']];
    const accepted = sum('accepted');
    const rest = accepted - parts.reduce((total, [key]) => total + sum(key), 0);
    const surplus = Math.max(0, -sum('queued'));
    return html`<${Card} title="Ledger of 24 hours"
        aside=${html`<${Badge} state=${rest || surplus ? 'error' : 'success'}>${rest ? `${count(rest)} unaccounted for` :
            surplus ? `${count(surplus)} more than accepted` : 'balances'}<//>`}>
        <p class="sum"><strong>${count(accepted)}</strong> accepted =</p>
        <dl class="parts">${parts.map(([key, label]) => html`<div key=${key}><dt>${label}</dt><dd>${count(sum(key))}</dd></div>`)}</dl>
    <//>`;
}

function Integrations({ id }) {
    const { data: rows, ...state } = useIntegrations(id);
    return html`<${Card} title="Integrations" aside=${html`<a href=${href('integrations')}>All</a>`}>
        <${Waiting} of=${{ data: rows, ...state }}>${rows?.length === 0
            ? html`<p class="empty">None yet. ${isAdmin.value ? html`<a href=${href('start')}>Connect a device</a>` :
                'An admin can create one.'}</p>`
            : html`<ul class="list">${rows?.map((row) => html`<li key=${row.id}><a class="grow" href=${href('integrations', row.id)}>
                ${row.name}</a><${Badge} state=${row.status} />
                ${row.status_detail && html`<p class="dim break">${row.status_detail}</p>`}</li>`)}</ul>`}<//>
    <//>`;
}

function Activity({ rows }) {
    return html`<${Card} title="Recent problems and changes" wide>
        ${rows.length === 0 ? html`<p class="empty">Nothing happened within the last day.</p>` :
            html`<${Table} label="Recent activity" head=${['When', 'What', 'Result', 'Details']}>
            ${rows.map((row) => html`<tr key=${row.id}><td><${When} at=${row.created_at} /></td><td>
                ${row.activity_type.replaceAll('_', ' ')}</td><td><${Badge} state=${row.status} /></td><td class="break">
                    ${row.error_message ?? ''}</td></tr>`)}
        <//>`}
    <//>`;
}

function Installation() {
    const state = useStatus();
    const wrong = state.data ? findings(state.data) : [];
    return html`<${Card} title="Installation" aside=${html`<a href=${href('installation')}>All of it</a>`}>
        <${Waiting} of=${state} empty=${state.data?.bridges.length === 0 &&
            html`No bridge is running: messages wait in their queues. <code>topicbase run</code> starts one.`}>
            <ul class="list">${state.data?.bridges.map((b) => html`<li key=${b.id}><span class="grow">${b.name}</span><span class="dim">
                ${count(b.integrations)} ${b.integrations === 1 ? 'integration' : 'integrations'}</span><${Badge} state=${b.is_live ? 'live' : 'gone'} /></li>`)}</ul>
        <//>
        ${wrong.length > 0 && html`<ul class="findings">${wrong.map((text) => html`<li key=${text}>${text}</li>`)}</ul>`}
    <//>`;
}

export default function Overview() {
    const { id, name, topic_prefix } = organization.value;
    const [dayAgo] = useState(() => new Date(Date.now() - 86400000).toISOString());
    const { data: stats, ...known } = useStatistics(id);
    const state = useLoad(async (options) => {
        const hourAgo = new Date(Date.now() - 61 * MINUTE).toISOString();
        const [minutes, hours, activity] = await Promise.all([
            request(ledgerCall(id, 'minute', hourAgo), options),
            request(ledgerCall(id, 'hour'), options),
            request(view('integration_activity_log', {
                organization_id: `eq.${id}`, created_at: `gte.${dayAgo}`, activity_type: 'not.in.(messages_processed,messages_published)',
                order: 'created_at.desc', limit: 12,
            }), options),
        ]);
        return { minutes, hours, activity };
    }, [id], EVERY);
    const { minutes, hours, activity } = state.data ?? {};
    const now = stats?.rates['1m'];
    return html`<${Head} title=${name} note=${html`Topics start with <code>${topic_prefix}/</code>`}>
        <a class="button primary" href=${href('start')}>Connect a device</a>
    <//>
    <${Waiting} of=${{ data: stats, ...known }}>${stats && html`
        <dl class="stats">
            <${Stat} label="In" value=${rate(now.in_per_second)} note="messages per second" />
            <${Stat} label="Stored" value=${rate(now.out_per_second)} note="messages per second" />
            <${Stat} label="Queue" value=${count(stats.pending + stats.processing)} state=${stats.oldest_pending_seconds > 60 ? 'bad' : ''}
                note=${stats.oldest_pending_seconds == null ? 'nothing waits' : `oldest ${span(Number(stats.oldest_pending_seconds))}`} />
            <${Stat} label="Time in queue" value=${span(stats.seconds_in_queue.p50 ?? NaN)}
                note=${`p99 ${span(stats.seconds_in_queue.p99 ?? NaN)}`} />
            <${Stat} label="Dead letters" value=${count(stats.dead)} state=${stats.dead ? 'warn' : ''}
                note=${html`<a href=${href('dead-letters')}>look at them</a>`} />
        </dl>
        <${Problem} error=${state.error} />
        <div class="grid">
            ${minutes && html`<${Traffic} rows=${minutes} /><${Ledger} rows=${hours} />`}
            <${Integrations} id=${id} />
            ${caller.value.is_operator && html`<${Installation} />`}
            ${stats.top_errors.length > 0 && html`<${Card} title="Errors of the last hour">
                <ul class="list">${stats.top_errors.map((e) => html`<li key=${e.error}><span class="grow break">${e.error}</span><strong>
                    ${number(e.count)}</strong></li>`)}</ul><//>`}
            ${activity && html`<${Activity} rows=${activity} />`}
        </div>`}<//>`;
}
