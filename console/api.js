// The HTTP API: every call of the console goes through `request`, is listed in `calls`, and can be shown as curl.
import { computed, signal } from './vendor/view.js';

export const REST = new URL('/rest/v1', location.origin).href;
const KEY = 'topicbase.token';
const KEPT = 60;
const SECRETS = new Set(['password', 'client_key', 'callback_secret']);

let isByAddress = false; // whether the token came in the address
let takesAddresses = true;
export const token = signal(readToken());
export const logins = signal(0); // counts them
export const calls = signal([]);
export const refused = signal(null); // why the token no longer works

/** The token of the address's fragment, which leaves the address at once, or the one kept for this tab. */
function readToken() {
    const given = /^#token=([^&]+)/.exec(location.hash);
    if (given) {
        history.replaceState(null, '', location.pathname);
        if (takesAddresses) sessionStorage.setItem(KEY, decodeURIComponent(given[1]));
        isByAddress = true;
    }
    return sessionStorage.getItem(KEY);
}

function take(text) {
    calls.value = [];
    refused.value = null;
    token.value = text || null;
    logins.value++;
}

/** Signs in with `text`, which is kept for this tab, or out without it. */
export function setToken(text) {
    if (text) sessionStorage.setItem(KEY, text);
    else sessionStorage.removeItem(KEY);
    take(text);
}

/** Uses `text` from now on, and keeps it in memory alone. With the same user's, the pages stay. */
export function adopt(text) {
    sessionStorage.removeItem(KEY);
    if (token.value && claims().sub === claimsOf(text).sub) token.value = text;
    else take(text);
}

/** Takes no token from an address: whoever made a link would choose in whose name its reader works. */
export function refuseAddresses() {
    takesAddresses = false;
    if (isByAddress) setToken(null);
}

addEventListener('hashchange', () => {
    if (!location.hash.startsWith('#token=')) return;
    const found = readToken();
    if (takesAddresses) take(found);
});

function claimsOf(text) {
    try {
        const part = text.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
        return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0))));
    } catch {
        return {};
    }
}
const known = computed(() => claimsOf(token.value));
/** The claims of the token, unchecked: the API checks them. */
export const claims = () => known.value;

let renewal = { early: 0, renew: () => {} };
/** Has `renew` called, and waited for, before a request whose token ends in less than `early` milliseconds. */
export function renewBy(early, renew) {
    renewal = { early, renew };
}

/** Waits until the token is good for a request. */
export async function fresh() {
    if ((claims().exp ?? Infinity) * 1000 - Date.now() < renewal.early) await renewal.renew();
}

export class ApiError extends Error {
    constructor(status, body) {
        super(body.message || `HTTP ${status}`);
        this.status = status;
        this.slug = body.message || `http_${status}`;
        this.detail = body.details || '';
        this.hint = body.hint || '';
    }
}

/** A call of a function: `null` and undefined arguments are left out, as the API takes them. */
export function rpc(name, body = {}) {
    const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined && value !== null));
    return { method: 'POST', url: `${REST}/rpc/${name}`, body: given };
}

/** What `ilike` matches if it contains `text`. */
export const likeFor = (text) => `"*${text.replaceAll(/["\\]/g, '\\$&')}*"`;

/** A view, with PostgREST's filters. */
export function view(name, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    return { method: 'GET', url: `${REST}/${name}${given.length ? `?${new URLSearchParams(given)}` : ''}` };
}

function quoted(text) {
    return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The call as a command for a shell in which $TOKEN holds the token. */
export function curl(call) {
    const lines = [`curl ${quoted(call.url)}`, '-H "Authorization: Bearer $TOKEN"'];
    if (call.body !== undefined) lines.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(call.body))}`);
    return lines.join(' \\\n    ');
}

function withoutSecrets(value) {
    if (Array.isArray(value)) return value.map(withoutSecrets);
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, SECRETS.has(k) ? '…' : withoutSecrets(v)]));
}

function note(call, status, ms) {
    const shown = call.body === undefined ? call : { ...call, body: withoutSecrets(call.body) };
    calls.value = [{ call: shown, status, ms, at: Date.now() }, ...calls.value].slice(0, KEPT);
}

/** Makes the call and returns its JSON, read with `reviver`; raises ApiError. */
export async function request(call, { signal: abort, quiet, reviver } = {}) {
    await fresh();
    const began = performance.now();
    const headers = { Authorization: `Bearer ${token.value}` };
    if (call.body !== undefined) headers['Content-Type'] = 'application/json';
    let response;
    try {
        response = await fetch(call.url, {
            method: call.method,
            headers,
            body: call.body === undefined ? undefined : JSON.stringify(call.body),
            signal: abort,
            cache: 'no-store',
        });
    } catch (error) {
        if (error.name === 'AbortError') throw error;
        if (!quiet) note(call, 0, performance.now() - began);
        throw new ApiError(0, { message: 'unreachable', details: 'The API did not answer.', hint:
            'Is the gateway running? The console tries again.' });
    }
    if (!quiet) note(call, response.status, performance.now() - began);
    const text = await response.text();
    let body = null;
    try {
        body = text ? JSON.parse(text, reviver) : null;
    } catch {
        body = { message: `http_${response.status}`, details: text.slice(0, 300) };
    }
    if (response.ok) return body;
    const error = new ApiError(response.status, body || {});
    if (response.status === 401) refused.value ??= error;
    throw error;
}
