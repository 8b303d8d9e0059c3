import { html, useState } from '../vendor/view.js';
import { request, rpc, view } from '../api.js';
import { count, moment } from '../format.js';
import { Action, Badge, Card, Dialog, Head, Table, Text, Waiting, When, mistake, parsed, say, useLoad } from '../parts.js';
import { isAdmin, organization } from '../state.js';
import { Facts, Payload } from './message.js';

const PAGE = 200;

/** A dead letter as a message: `message` is the document that was queued. */
const shaped = (letter) => ({ payload: letter.message?.payload, body: letter.body });

function Letter({ letter, close, done }) {
    return html`<${Dialog} title=${letter.topic} close=${close}>
        <p class="notice bad">${letter.error_message}</p>
        <${Payload} message=${shaped(letter)} />
        <h3>Attempts</h3>
        <ol class="list">${(letter.errors ?? []).map((e, index) => html`<li key=${index}><span class="dim nowrap">${moment(e.at)}</span>
            <code>${e.code}</code><span class="grow break">${e.error}</span></li>`)}</ol>
        <${Facts} facts=${[['Direction', letter.direction], ['Received', moment(letter.received_at)],
            ['Given up', moment(letter.failed_at)], ['Replayed', letter.replay_count ?
                `${letter.replay_count} times, last ${moment(letter.replayed_at)}` : 'not yet'],
                    ['Id', html`<code>${letter.id}</code>`]]} />
        ${isAdmin.value && html`<${Replay} selection=${{ ids: [letter.id] }} topic=${letter.topic} done=${done} />`}
    <//>`;
}

/** Puts what `selection` names back into the queue: first as a dry run, then in earnest. */
function Replay({ selection, topic, done }) {
    const [patch, setPatch] = useState('');
    const [speed, setSpeed] = useState('');
    const [report, setReport] = useState(null);
    const call = (dry) => () => {
        const changes = patch.trim() ? parsed(patch, 'The patch') : undefined;
        if (changes !== undefined && (typeof changes !== 'object' || changes === null))
            throw mistake('The patch is not an object.', 'Such as {"topic": "…"}.');
        return rpc('replay_mqtt_dead_letters', { organization_id: organization.value.id, ...selection, patch: changes, max_per_second:
            speed ? Number(speed) : undefined, dry_run: dry || undefined });
    };
    return html`<div class="form">
        <${Text} label="Patch (JSON)" value=${patch} set=${setPatch} wide area=${2} placeholder=${topic ? `{"topic": "${topic}"}` :
            '{"content_type": "application/json"}'}
                hint="Replaces topic, payload, qos, retain or content_type; empty to leave the message as it is." />
        <${Text} label="Most per second" value=${speed} set=${setSpeed} inputmode="numeric" />
        <${Action} call=${call(true)} done=${setReport}>Dry run<//>
        <${Action} kind="primary" call=${call(false)}
            done=${(answer) => { setReport(answer); say(`${answer.replayed} put back into the queue.`); done(); }}>Replay<//>
        ${report && html`<p class="wide" role="status" data-testid="report"><strong>${count(report.matched)}</strong> match, <strong>
            ${count(report.replayed)}</strong> put back into the queue.</p>`}
    </div>`;
}

const reasonOf = (letter) => (letter.error_message ?? '').replaceAll(/"[^"]*"|[0-9a-f]{8}-[0-9a-f-]{27}|\d+/g, '…');

function Reasons({ letters, chosen, choose }) {
    const groups = new Map();
    for (const letter of letters) groups.set(reasonOf(letter), [...(groups.get(reasonOf(letter)) ?? []), letter]);
    return html`<${Card} title="Reasons" wide><ul class="list reasons">
        ${[...groups].sort((a, b) => b[1].length - a[1].length).map(([reason, found]) => html`<li key=${reason}>
        <button type="button" class="link grow break" aria-pressed=${chosen === reason}
            onClick=${() => choose(chosen === reason ? null : reason)}>${reason || 'without a reason'}</button><strong>
                ${count(found.length)}</strong></li>`)}</ul><//>`;
}

export default function DeadLetters() {
    const { id } = organization.value;
    const [open, setOpen] = useState(null);
    const [reason, setReason] = useState(null);
    const [replays, setReplays] = useState(false);
    const state = useLoad((options) => request(view('mqtt_dead_letters', { organization_id: `eq.${id}`, order: 'failed_at.desc', limit:
        PAGE }), options), [id], 5000);
    const all = state.data ?? [];
    const chosen = all.some((letter) => reasonOf(letter) === reason) ? reason : null;
    const letters = all.filter((letter) => chosen === null || reasonOf(letter) === chosen);
    const fresh = letters.filter((letter) => !letter.replayed_at);
    return html`<${Head} title="Dead letters" note="Messages that failed for good. They can be repaired and put back into the queue.">
        ${isAdmin.value && fresh.length > 0 && html`<button type="button" class="primary"
            onClick=${() => setReplays(true)}>Replay ${count(fresh.length)}…</button>`}
    <//>
    <${Waiting} of=${state} empty=${state.data?.length === 0 && 'None: every message was processed or is still waiting.'}>
        <${Reasons} letters=${all} chosen=${chosen} choose=${setReason} />
        <${Table} label="Dead letters" head=${['Given up', 'Topic', 'Error', 'Attempts', '']}>
            ${letters.map((letter) => html`<tr key=${letter.id}>
            <td class="nowrap"><${When} at=${letter.failed_at} /></td><td>
                <button type="button" class="link mono break" onClick=${() => setOpen(letter)}>${letter.topic}</button></td>
            <td class="break">${letter.error_message}</td><td class="right">${letter.attempts}</td><td>${letter.replayed_at &&
                html`<${Badge} state="replayed" />`}</td></tr>`)}<//>
        ${state.data?.length === PAGE && html`<p class="dim">The newest ${PAGE} are shown.</p>`}
    <//>
    ${open && html`<${Letter} letter=${open} close=${() => setOpen(null)} done=${state.reload} />`}
    ${replays && html`<${Dialog} title=${`Replay ${count(fresh.length)} dead letters`} close=${() => setReplays(false)}>
        <${Replay} selection=${{ ids: fresh.map((letter) => letter.id) }} done=${state.reload} /><//>`}`;
}
