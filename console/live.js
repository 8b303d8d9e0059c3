// What the live stream keeps up to date on more than one page.
import { request, rpc, view } from './api.js';
import { useLoad, withRows } from './parts.js';

const EVERY = 5000; // without the stream
const SOON = 2000;
const SELDOM = 30000; // with it, for what it does not have

/** The statistics of an organization's queue. */
export const useStatistics = (id) => useLoad((options) => request(rpc('get_mqtt_queue_stats', { organization_id: id }), options), [id],
    EVERY, { follow: [{ stream: 'statistics', organization_id: id }], merge: (old, rows) => rows.at(-1) });

/** What operators see of the installation: the row that is no organization's. */
export const useStatus = () => useLoad((options) => request(rpc('get_system_status'), options), [], EVERY,
    { follow: [{ stream: 'statistics' }], merge: (old, rows) => rows.find((row) => row.organization_id === null) ?? old });

/** An organization's integrations by name, or the one of this id. */
export function useIntegrations(organizationId, id) {
    const query = { organization_id: `eq.${organizationId}`, id: id && `eq.${id}`, order: 'name' };
    return useLoad((options) => request(view('device_integrations', query), options), [organizationId, id], EVERY, {
        follow: [{ stream: 'integrations', organization_id: organizationId }],
        merge: (old, rows) => withRows(old, rows.filter((row) => !id || row.id === id)).sort((a, b) => a.name.localeCompare(b.name)),
    });
}

/** A device with what it measures: `latest` and `last_seen_at` change with each reading; of one that is new, with any message. */
export function useDevice(organizationId, id, isNew = false) {
    const about = { organization_id: organizationId, device_id: id };
    const merge = {
        presence: (old, rows) => ({ ...old, presence: rows.at(-1).deleted ? old.presence : rows.at(-1) }),
        readings: (old, rows) => ({ ...old, latest: withReadings(old.latest, rows), last_seen_at: new Date().toISOString() }),
        messages: (old, rows) => ({ ...old, last_seen_at: rows.at(-1).received_at }),
    };
    return useLoad((options) => request(rpc('get_device', about), options), [id], SOON, {
        follow: ['readings', 'presence', ...(isNew ? ['messages'] : [])].map((stream) => ({ stream, ...about })),
        merge: (old, rows, stream) => merge[stream](old, rows),
        every: SELDOM,
    });
}

function withReadings(old, rows) {
    const latest = { ...old };
    for (const { metrics, timestamp } of rows)
        for (const [name, value] of Object.entries(metrics))
            if (!(Date.parse(latest[name]?.at) > Date.parse(timestamp))) latest[name] = { value, at: timestamp };
    return latest;
}

/** Receipts of these ids: [receipt, …]. */
export const useReceipts = (organizationId, ids) => useLoad(
    (options) => (ids.length ? request(rpc('get_mqtt_publish_receipts', { receipt_ids: ids }), options) : []), [ids.join()],
    ids.length && SOON, ids.length ? {
        follow: [{ stream: 'receipts', organization_id: organizationId }],
        merge: (old, rows) => withRows(old, rows.filter((row) => ids.includes(row.receipt_id)), 'receipt_id'),
    } : null);
