import { html, useState } from '../vendor/view.js';
import { request, rpc, view } from '../api.js';
import { moment } from '../format.js';
import { Action, Badge, Card, Choice, Head, Table, Text, Waiting, say, useLoad } from '../parts.js';
import { caller, isAdmin, organization } from '../state.js';
import { Credentials } from './credentials.js';

const ROLES = [['member', 'Member'], ['admin', 'Admin']];

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
                    sure="They see nothing of the organization from their next request on."
                        done=${() => { say('Removed.'); state.reload(); }}>Remove<//>`}</div></td></tr>`)}<//><//>
        ${isAdmin.value && html`<div class="form">
            <${Text} label="User id" value=${user} set=${setUser} wide placeholder="00000000-0000-0000-0000-000000000000" />
            <${Choice} label="Role" value=${role} set=${setRole} options=${ROLES} />
            <${Action} call=${() => rpc('add_organization_member', { organization_id: id, user_id: user.trim(), role })}
                done=${() => { setUser(''); say('Done.'); state.reload(); }}>Invite or change member<//>
        </div>`}
    <//>`;
}

export default function Access() {
    const { id } = organization.value;
    const integrations = useLoad((options) => request(view('device_integrations', { organization_id: `eq.${id}`, order: 'name', select:
        'id,name' }), options), [id]);
    return html`<${Head} title="Access" note="Who may use the organization: its devices and its people." />
        <${Credentials} organizationId=${id} integrations=${integrations.data ?? []} />
        <${Members} />`;
}
