// The dashboards for Grafana: bin/grafana-dashboards writes operators.json and readings.json from this.
import {
    type DataSourceRef, type FieldConfig, type GraphFieldConfig, type Panel, type VariableModel,
    GraphDrawStyle, LegendDisplayMode, SortOrder, TooltipDisplayMode, VariableRefresh, VisibilityMode,
} from '@grafana/schema';
import type { Dashboard } from '@grafana/schema';
import type { Options as TimeSeries } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

const PROMETHEUS: DataSourceRef = { type: 'prometheus', uid: '${source}' };
const POSTGRESQL: DataSourceRef = { type: 'grafana-postgresql-datasource', uid: '${source}' };
const WIDTH = 12, HEIGHT = 8;

interface Query { expr: string, legend?: string }

const source = (type: string): VariableModel => ({ name: 'source', label: 'Data source', type: 'datasource', query: type, refresh: VariableRefresh.onDashboardLoad });

// Two panels a row, in the order of the list.
const placed = (panels: Panel[]): Panel[] => panels.map((panel, index) => ({
    ...panel, id: index + 1, gridPos: { x: (index % 2) * WIDTH, y: Math.floor(index / 2) * HEIGHT, w: WIDTH, h: HEIGHT },
}));

const lines = (title: string, description: string, targets: NonNullable<Panel['targets']>, defaults: FieldConfig<Partial<GraphFieldConfig>>): Panel => ({
    type: 'timeseries', title, description, targets,
    fieldConfig: { defaults: { ...defaults, custom: { drawStyle: GraphDrawStyle.Line, lineWidth: 1, fillOpacity: 8, showPoints: VisibilityMode.Auto, ...defaults.custom } }, overrides: [] },
    options: {
        legend: { displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: true, calcs: [] },
        tooltip: { mode: TooltipDisplayMode.Multi, sort: SortOrder.Descending },
    } satisfies TimeSeries as unknown as Record<string, unknown>,
});

const metric = (title: string, unit: string, description: string, queries: Query[]): Panel => lines(
    title, description,
    queries.map(({ expr, legend }, index) => ({ refId: String.fromCharCode(65 + index), datasource: PROMETHEUS, expr, legendFormat: legend ?? title, range: true })),
    { unit, min: 0 },
);

const sql = (rawSql: string, format: string) => [{ refId: 'A', datasource: POSTGRESQL, rawSql, format, rawQuery: true, editorMode: 'code' }];

const rows = (title: string, description: string, rawSql: string): Panel => ({
    type: 'table', title, description, targets: sql(rawSql, 'table'), fieldConfig: { defaults: {}, overrides: [] }, options: { showHeader: true },
});

const choice = (name: string, label: string, query: string): VariableModel => ({
    name, label, type: 'query', query, datasource: POSTGRESQL, refresh: VariableRefresh.onTimeRangeChanged, multi: true, includeAll: true,
    current: { text: ['All'], value: ['$__all'] },
});

const dashboard = (uid: string, title: string, description: string, list: VariableModel[], panels: Panel[]): Dashboard => ({
    uid, title, description, tags: ['topicbase'], schemaVersion: 39, version: 1, editable: true, refresh: '30s', timezone: 'browser',
    time: { from: 'now-6h', to: 'now' }, templating: { list }, annotations: { list: [] }, panels: placed(panels),
});

const quantile = (q: number, histogram: string) => `histogram_quantile(${q}, sum by (le) (rate(${histogram}_bucket[$__rate_interval])))`;

export const operators = dashboard(
    'topicbase-operators', 'Topicbase', 'The bridges and queues of an installation, from the metrics of its bridges.', [source('prometheus')], [
        metric('Messages in', 'cps', 'Received from brokers, and processed from the queue.', [
            { expr: 'sum by (result) (rate(topicbase_received_messages_total[$__rate_interval]))', legend: 'received: {{result}}' },
            { expr: 'sum by (result) (rate(topicbase_processed_messages_total[$__rate_interval]))', legend: 'processed: {{result}}' },
        ]),
        metric('Messages out', 'cps', 'Published to brokers, by the state of their receipts.', [
            { expr: 'sum by (state) (rate(topicbase_published_messages_total[$__rate_interval]))', legend: '{{state}}' },
        ]),
        metric('Waiting', 'short', 'Messages in the queues.', [{ expr: 'max by (queue) (topicbase_queue_messages)', legend: '{{queue}}' }]),
        metric('Age of the oldest', 's', 'For how long the oldest message of a queue has been due.', [
            { expr: 'max by (queue) (topicbase_queue_oldest_seconds)', legend: '{{queue}}' },
        ]),
        metric('Ledger: differences', 'short', 'Hours of organizations in which messages accepted and their outcomes differ. Anything but 0 is an alert.', [
            { expr: 'max(topicbase_ledger_differences)' },
        ]),
        metric('Ingest', 'bool_on_off', 'On: messages are accepted. Off: they are rejected for lack of space.', [{ expr: 'min(topicbase_ingest_open)' }]),
        metric('Integrations', 'short', 'By the state of their connection.', [{ expr: 'sum by (state) (topicbase_integrations)', legend: '{{state}}' }]),
        metric('Failures', 'cps', 'Connection attempts to brokers, database connections, and sessions that a broker has lost.', [
            { expr: 'sum(rate(topicbase_broker_connect_failures_total[$__rate_interval]))', legend: 'brokers' },
            { expr: 'sum by (part) (rate(topicbase_database_failures_total[$__rate_interval]))', legend: 'database: {{part}}' },
            { expr: 'sum(rate(topicbase_sessions_lost_total[$__rate_interval]))', legend: 'sessions lost' },
        ]),
        metric('Publish to acknowledgement', 's', 'From when a message was due until its broker acknowledged it.', [
            { expr: quantile(0.5, 'topicbase_publish_seconds'), legend: 'median' }, { expr: quantile(0.99, 'topicbase_publish_seconds'), legend: '99 %' },
        ]),
        metric('Time of a batch in the database', 's', 'The 99th percentile, by what the batch does.', [
            { expr: 'histogram_quantile(0.99, sum by (le, part) (rate(topicbase_batch_seconds_bucket[$__rate_interval])))', legend: '{{part}}' },
        ]),
        metric('Webhooks', 'cps', 'Requests by outcome.', [{ expr: 'sum by (result) (rate(topicbase_callbacks_total[$__rate_interval]))', legend: '{{result}}' }]),
        metric('Webhooks: time', 's', 'Until a receiver answered.', [
            { expr: quantile(0.5, 'topicbase_callback_seconds'), legend: 'median' }, { expr: quantile(0.99, 'topicbase_callback_seconds'), legend: '99 %' },
        ]),
        metric('Free disk', 'bytes', 'Of the database\'s data disk.', [{ expr: 'min(topicbase_free_disk_bytes)' }]),
        metric('Vacuum held back', 's', 'For how long, beyond the alarm\'s threshold.', [{ expr: 'max(topicbase_vacuum_held_seconds)' }]),
    ],
);

const CHOSEN = 'device IN (${device:sqlstring}) AND metric IN (${metric:sqlstring})';
const RANGE = '$__timeFrom()::timestamptz, $__timeTo()::timestamptz';
const SERIES = `readings.series(ARRAY[\${device:sqlstring}], ARRAY[\${metric:sqlstring}], ${RANGE})`;

export const readings = dashboard(
    'topicbase-readings', 'Readings', 'What devices measured, from schema readings.', [
        source('grafana-postgresql-datasource'),
        choice('device', 'Device', 'SELECT device FROM readings.devices ORDER BY 1'),
        choice('metric', 'Metric', 'SELECT DISTINCT metric FROM readings.latest WHERE device IN (${device:sqlstring}) ORDER BY 1'),
    ], [
        lines('Readings', 'The average of each span; at most 500 spans.', sql(`SELECT at AS "time", device || ' ' || metric AS metric, avg AS value FROM ${SERIES}`, 'time_series'), { custom: { spanNulls: false } }),
        lines('Range', 'Minimum and maximum of each span.', sql(
            `SELECT at AS "time", device || ' ' || metric || ' ' || b.name AS metric, b.value FROM ${SERIES} CROSS JOIN LATERAL (VALUES ('min', min), ('max', max)) AS b (name, value)`, 'time_series',
        ), { custom: { fillOpacity: 0 } }),
        rows('Latest', 'The newest value of each metric.', `SELECT device, metric, coalesce(value::text, raw #>> '{}') AS value, at FROM readings.latest WHERE ${CHOSEN} ORDER BY 1, 2`),
        rows('Devices', 'Who is connected, and who sent last.', 'SELECT device, name, presence, presence_since, last_seen_at FROM readings.devices WHERE device IN (${device:sqlstring}) ORDER BY last_seen_at DESC NULLS LAST'),
        lines('Counters', 'How far each counter went on in each span; a reset does no harm.', sql(`SELECT at AS "time", device || ' ' || metric AS metric, delta AS value FROM ${SERIES}`, 'time_series'), { custom: { drawStyle: GraphDrawStyle.Bars } }),
        rows('Messages', 'The newest hundred in the range.', `SELECT received_at, device, topic, payload FROM readings.messages(ARRAY[\${device:sqlstring}], ${RANGE}) ORDER BY received_at DESC LIMIT 100`),
    ],
);
