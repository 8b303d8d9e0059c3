import { html, useState } from '../vendor/view.js';
import { request, rpc, view } from '../api.js';
import { moment } from '../format.js';
import { Action, Badge, Card, Choice, Head, Table, Text, Waiting, say, useLoad } from '../parts.js';
import { caller, isAdmin, organization, signIn } from '../state.js';
import { Credentials } from './credentials.js';

const ROLES = [['member', 'Member'], ['admin', 'Admin']];

/** What removing `m` means; the database lets an organization lose its last admin, too. */
function sureOf(m, members) {
    const isLast = m.role === 'admin' && !members.some((other) => other.role === 'admin' && !other.isInvited && other !== m);
    return `${m.user_id === caller.value.user_id ? 'You see nothing of the organization from your' :
        'They see nothing of the organization from their'} next request on.${isLast && !m.isInvited ?
        ' No admin is left then: only service_role can add one.' : ''}`;
}

function Members() {
    const { id } = organization.value;
    const [user, setUser] = useState('');
    const [role, setRole] = useState('member');
    const state = useLoad(async (options) => {
        const [members, invited] = await Promise.all([
            request(view('organization_members', { organization_id: `eq.${id}`, order: 'created_at' }), options),
            isAdmin.value ? request(rpc('list_organization_invitations', { organization_id: id }), options) : [],
        ]);
        return [...members, ...invited.map((row) => ({ ...row, isInvited: true }))];
    }, [id], 10000);
    return html`<${Card} title="Members" wide>
        <p class="dim">Members read, publish and register devices; admins also manage integrations, logins, subscriptions and
            members. A user is the <code>sub</code> of their token. Whom you invite becomes a member by accepting.</p>
        <${Waiting} of=${state}><${Table} label="Members" head=${['User', 'Role', 'Added', '']}>
            ${state.data?.map((m) => html`<tr key=${m.user_id}>
            <td class="mono">${m.user_id}${m.user_id === caller.value.user_id && html` <span class="dim">(you)</span>`}</td><td>
                <${Badge} state=${m.role} />${m.isInvited && html` <${Badge} state="waiting">invited<//>`}</td><td>
                    ${moment(m.created_at)}</td>
            <td><div class="buttons">${isAdmin.value && html`<${Action} small name=${`Remove ${m.user_id}`}
                call=${rpc('remove_organization_member', { organization_id: id, user_id: m.user_id })}
                    sure=${sureOf(m, state.data)}
                        done=${() => { say('Removed.'); return m.user_id === caller.value.user_id ? signIn() : state.reload(); }}>Remove<//>`}</div>
                            </td></tr>`)}<//><//>
        ${isAdmin.value && html`<div class="form">
            <${Text} label="User id" value=${user} set=${setUser} wide placeholder="00000000-0000-0000-0000-000000000000"
                hint="The sub of their token, which is a UUID, not an e-mail address." />
            <${Choice} label="Role" value=${role} set=${setRole} options=${ROLES} />
            <${Action} call=${() => rpc('add_organization_member', { organization_id: id, user_id: user.trim(), role })}
                done=${() => { setUser(''); say('Done.'); state.reload(); }}>Invite or change member<//>
        </div>`}
    <//>`;
}

const SCOPES = [['read', 'Read'], ['publish', 'Publish'], ['admin', 'Admin']];

function Keys({ integrations }) {
    const { id } = organization.value;
    const [name, setName] = useState('');
    const [scope, setScope] = useState('read');
    const [only, setOnly] = useState('');
    const [made, setMade] = useState(null);
    const state = useLoad((options) => request(rpc('list_api_keys', { organization_id: id }), options), [id], 10000);
    const names = Object.fromEntries(integrations.map((one) => [one.id, one.name]));
    return html`<${Card} title="API keys" wide>
        <p class="dim">An app sends its key as <code>X-API-Key</code>. It acts for the organization, or for one integration. Read reads;
            publish also publishes and registers devices; admin also does what admins do, except with people and keys.</p>
        ${made && html`<p role="status">The key of ${made.name}, shown only now: <code>${made.key}</code></p>`}
        <${Waiting} of=${state} empty=${state.data?.length === 0 && 'None yet.'}><${Table} label="API keys" head=${['Name', 'Key', 'Scope', 'Integrations', 'Last used', '']}>
            ${state.data?.map((key) => html`<tr key=${key.id}>
            <td>${key.name}</td><td class="mono">${key.key_start}…</td><td><${Badge} state=${key.scope} /></td>
            <td>${key.integration_ids?.map((one) => names[one] ?? one).join(', ') ?? 'all'}</td>
            <td>${key.last_used_at ? moment(key.last_used_at) : 'never'}</td>
            <td><div class="buttons"><${Action} small name=${`Revoke ${key.name}`} call=${rpc('revoke_api_key', { key_id: key.id })}
                sure="Its next request is refused." done=${() => { say('Revoked.'); state.reload(); }}>Revoke<//></div></td></tr>`)}<//><//>
        <div class="form">
            <${Text} label="App" value=${name} set=${setName} placeholder="Dashboard" />
            <${Choice} label="Scope" value=${scope} set=${setScope} options=${SCOPES} />
            <${Choice} label="For integration" value=${only} set=${setOnly} options=${[['', 'All'], ...integrations.map((one) => [one.id, one.name])]} />
            <${Action} call=${() => rpc('create_api_key', { organization_id: id, name, scope, integration_ids: only ? [only] : null })}
                done=${(answer) => { setMade(answer); setName(''); state.reload(); }}>Create key<//>
        </div>
    <//>`;
}

export default function Access() {
    const { id } = organization.value;
    const integrations = useLoad((options) => request(view('device_integrations', { organization_id: `eq.${id}`, order: 'name', select:
        'id,name' }), options), [id]);
    return html`<${Head} title="Access" note="Who may use the organization: its devices and its people." />
        <${Credentials} organizationId=${id} integrations=${integrations.data ?? []} />
        <${Members} />
        ${isAdmin.value && html`<${Keys} integrations=${integrations.data ?? []} />`}`;
}
