// What the whole console knows: who is signed in, their organizations, and the page that the address names.
import { computed, signal } from './vendor/view.js';
import { request, rpc, view } from './api.js';

export const caller = signal(null);
export const organizations = signal(null);
export const trouble = signal(null); // why neither could be read
export const route = signal(readRoute());
export const theme = signal(localStorage.getItem('topicbase.theme') || 'auto');

/** The organization that the address names, else the one looked at last, else the first. */
export const organization = computed(() => {
    const all = organizations.value ?? [];
    return all.find((o) => o.slug === route.value.slug) ?? all.find((o) => o.slug === localStorage.getItem('topicbase.organization')) ??
        all[0] ?? null;
});

/** Whether the user may change the organization: an admin, or service_role. */
export const isAdmin = computed(() => organization.value?.role === 'admin' || caller.value?.role === 'service_role');

function readRoute() {
    const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
    const [slug = '', page = '', ...rest] = path.split('/').map(decodeURIComponent);
    return { slug, page: page || 'overview', rest, query: new URLSearchParams(query) };
}

addEventListener('hashchange', () => {
    if (location.hash.startsWith('#token=')) return;
    route.value = readRoute();
    if (organizations.value?.some((o) => o.slug === route.value.slug)) localStorage.setItem('topicbase.organization', route.value.slug);
});

/** The address of a page of the current organization. */
export function href(page, ...rest) {
    return `#/${[organization.value?.slug ?? '-', page, ...rest].map(encodeURIComponent).join('/')}`;
}

/**
 * Notes in the address of this page what it was asked for, and in the history what else it was showing: coming back, reloading, or passing
 * the address on then shows the same.
 */
export function keep(query, shown = null) {
    const given = new URLSearchParams(Object.entries(query).filter(([, text]) => text));
    history.replaceState(shown, '', `${location.hash.split('?')[0]}${given.size ? `?${given}` : ''}`);
}

export function go(page, ...rest) {
    location.hash = href(page, ...rest);
}

export async function signIn() {
    trouble.value = null;
    try {
        const [who, all] = await Promise.all([request(rpc('get_caller')), request(view('organizations', { order: 'name' }))]);
        caller.value = who;
        organizations.value = all;
    } catch (error) {
        trouble.value = error;
    }
}

export function signOut() {
    caller.value = null;
    organizations.value = null;
    trouble.value = null;
}
