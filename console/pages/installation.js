// For operators: bridges, queues, and what the database finds wrong.
import { html, useState } from '../vendor/view.js';
import { rpc } from '../api.js';
import { count, moment, percent, span } from '../format.js';
import { useStatus } from '../live.js';
import { Action, Badge, Card, Head, Problem, Stat, Table, Text, Waiting, When, say } from '../parts.js';
import { caller, signIn } from '../state.js';

/** What is wrong, in words; empty if nothing is. */
export function findings(status) {
    return [
        !status.bridges.some((b) => b.is_live) && 'No bridge is running: messages wait in their queues.',
        status.ingest_pause && `Devices' messages are refused: ${status.ingest_pause}.`,
        status.publish_pause && `Publishing is refused: ${status.publish_pause}.`,
        status.ledger_faults > 0 && `Hours of the ledger that do not balance: ${count(status.ledger_faults)}.`,
        status.vacuum_holders > 0 && `Sessions, transactions or slots that hold back vacuum: ${count(status.vacuum_holders)}.`,
        status.notify_queue_ratio > 0.5 && `The queue of notifications is ${percent(status.notify_queue_ratio)} full.`,
        ...status.partitions.filter((p) => p.days_ahead < 2).map((p) => `${p.parent} has no partition beyond ${p.days_ahead} days ahead.`),
        ...status.partitions.filter((p) => p.in_default > 0).map((p) => `${p.parent} has rows in its default partition.`),
    ].filter(Boolean);
}

function NewOrganization() {
    const [name, setName] = useState('');
    const [slug, setSlug] = useState('');
    const [admin, setAdmin] = useState(caller.value.user_id ?? '');
    return html`<${Card} title="New organization"><div class="form">
        <${Text} label="Name" value=${name} set=${setName} />
        <${Text} label="Slug" value=${slug} set=${setSlug} hint=${`Topics start with org_${slug || '…'}/.`} />
        <${Text} label="Its first admin" value=${admin} set=${setAdmin} wide hint="The sub of their token; yours unless you change it." />
        <${Action} kind="primary" call=${() => rpc('create_organization', { name, slug, admin_user_id: admin || null })}
            done=${() => { say('Created.'); setName(''); setSlug(''); signIn(); }}>Create the organization<//>
    </div><//>`;
}

export default function Installation() {
    const state = useStatus();
    const status = state.data;
    const wrong = status ? findings(status) : [];
    return html`<${Head} title="Installation" note=${status && html`As of ${moment(status.at)}`} />
        ${!caller.value.is_operator ? html`<${Problem}
            error=${{ slug: 'operator_required', detail: 'This page is for operators of the installation.' }} />` :
                html`<${Waiting} of=${state}>${status && html`
            <dl class="stats">
                <${Stat} label="Bridges" value=${count(status.bridges.filter((b) => b.is_live).length)}
                    note=${`${count(status.workers.length)} processing the queue`} />
                ${['ingest', 'outbound'].map((name) => html`<${Stat} key=${name} label=${name === 'ingest' ? 'Incoming queue' :
                    'Outgoing queue'} value=${count(status.queues[name].messages)} note=${status.queues[name].oldest_seconds == null ?
                        'nothing waits' : `oldest ${span(Number(status.queues[name].oldest_seconds))}`} />`)}
                <${Stat} label="Integrations" value=${count(status.integrations.length)}
                    note=${`${count(status.integrations.filter((i) => i.status === 'error').length)} with errors`} />
            </dl>
            <div class="grid">
                <${Card} title="Findings" wide aside=${html`<${Badge} state=${wrong.length ? 'error' : 'success'}>${wrong.length ?
                    `${wrong.length} to look at` : 'nothing is wrong'}<//>`}>
                    ${wrong.length ? html`<ul class="findings">${wrong.map((text) => html`<li key=${text}>${text}</li>`)}</ul>` :
                        html`<p class="dim">What the database can tell is in order.${' '}
                    <code>topicbase doctor</code> also looks at the machine.</p>`}<//>
                <${Card} title="Bridges" wide><${Table} label="Bridges" head=${['Name', 'Version', 'State', 'Started', 'Last heard',
                    '>Integrations']}>${status.bridges.map((b) => html`<tr key=${b.id}>
                    <td>${b.name}</td><td>${b.version}</td><td><${Badge} state=${b.is_live ? 'live' : 'gone'} /></td><td>
                        <${When} at=${b.started_at} /></td><td>${span(Number(b.silent_seconds))} ago</td><td class="right">
                            ${b.integrations}</td></tr>`)}<//><//>
                <${Card} title="Integrations of all organizations" wide>
                    <${Table} label="Integrations of all organizations"
                        head=${['Organization', 'Integration', 'Status', 'Bridge', '>Waiting to be published']}>
                            ${status.integrations.map((i) => html`<tr key=${i.id}>
                    <td>${i.organization}</td><td>${i.name}</td><td><${Badge} state=${i.status} />${i.reason &&
                        html`<div class="dim break">${i.reason}</div>`}</td><td>${i.bridge ?? html`<span class="dim">none</span>`}</td>
                            <td class="right">${count(i.outbound_waiting)}</td></tr>`)}<//><//>
                <${NewOrganization} />
            </div>`}<//>`}`;
}
