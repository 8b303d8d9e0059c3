// A device's readings: one plot per chosen metric over a common range, which may follow the present.
import { html, useEffect, useRef, useState } from '../vendor/view.js';
import { series } from '../data.js';
import { moment, number, span as spanText, value } from '../format.js';
import { Problem, Table } from '../parts.js';
import { Plot } from '../plot.js';
import { metricsOf } from './devices.js';

const SPANS = [[300, '5 minutes'], [900, '15 minutes'], [3600, '1 hour'], [21600, '6 hours'], [86400, '24 hours'], [604800, '7 days'],
    [2592000, '30 days']];
const MOST = 8;
const LIVE = 2000;
const LATE = 10000; // readings may be stored later than ones that were measured after them
const POINTS = 600;
const KEY = 'topicbase.metrics';

/** What `more` has from `from` on replaces what `old` had; what is older than `since` is dropped. */
function joined(old, more, from, since) {
    const lines = new Map();
    for (const line of old) lines.set(line.metric, line.points.filter((p) => p[0] >= since && p[0] < from));
    for (const line of more) lines.set(line.metric, [...(lines.get(line.metric) ?? []), ...line.points.filter((p) => p[0] >= from)]);
    return [...lines].map(([metric, points]) => ({ metric, points }));
}

/**
 * The series of these metrics over `range`: {span} up to now, again and again, or {since, until}. With `isTold`, `news` changes with each
 * reading: between two of them the range moves on, and nothing is asked.
 */
function useSeries(id, metrics, range, news, isTold) {
    const [state, set] = useState(() => {
        const until = range.until ?? Date.now();
        return { lines: [], since: range.since ?? until - range.span * 1000, until, error: null };
    });
    const told = useRef({});
    Object.assign(told.current, { news, isTold });
    useEffect(() => {
        const abort = new AbortController();
        let timer;
        let last = null;
        let lastNews;
        let loadedAt = 0;
        const sinceOf = (until) => range.since ?? until - range.span * 1000;
        async function load() {
            lastNews = told.current.news;
            loadedAt = Infinity;
            try {
                const until = range.until ?? Date.now();
                const since = sinceOf(until);
                // Of the buckets that were incomplete all comes again.
                const size = (last?.bucket ?? 0) * 1000;
                const from = size ? Math.max(since, Math.floor((last.until - LATE) / size) * size) : since;
                const found = metrics.length ? await series({ deviceIds: [id], metrics, since: from, until, points: POINTS,
                    bucket: last?.bucket }, { signal: abort.signal, quiet: Boolean(last) }) : { series: [], bucket: null };
                const lines = size ? joined(last.lines, found.series, from, since) : found.series;
                last = { lines, until, bucket: found.bucket };
                set({ lines, since, until, bucket: found.bucket, error: null });
            } catch (error) {
                if (abort.signal.aborted) return;
                lastNews = null;
                set((old) => ({ ...old, error }));
            }
            loadedAt = Date.now();
            plan();
        }
        function plan() {
            clearTimeout(timer);
            if (!range.until && !abort.signal.aborted) timer = setTimeout(next, LIVE);
        }
        function next() {
            clearTimeout(timer);
            const isQuiet = last && told.current.isTold && told.current.news === lastNews;
            if (!document.hidden && !isQuiet) {
                load();
                return;
            }
            const until = Date.now();
            if (isQuiet && !document.hidden) set((old) => ({ ...old, since: sinceOf(until), until }));
            plan();
        }
        load();
        // The first reading after a pause shows at once.
        told.current.wake = () => !range.until && last && Date.now() - loadedAt > LIVE && next();
        return () => {
            abort.abort();
            clearTimeout(timer);
        };
    }, [id, metrics.join('\n'), range.span, range.since, range.until]);
    useEffect(() => {
        told.current.wake();
    }, [news]);
    return state;
}

const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60000).toISOString().slice(0, 19);

function RangePicker({ range, set, state }) {
    const width = state.until - state.since;
    const middle = (state.since + state.until) / 2;
    const to = (since, until) => set({ since: Math.round(since), until: Math.round(until) });
    return html`<fieldset class="ranges"><legend class="unseen">Range</legend>
        <div class="segments" role="group" aria-label="Up to now">
            ${SPANS.map(([span, text]) => html`<button key=${span} type="button" aria-pressed=${range.span === span}
                onClick=${() => set({ span })}>${text}</button>`)}</div>
        <div class="row">
            <input type="datetime-local" step="1" aria-label="From" value=${local(state.since)} onChange=${(e) => e.currentTarget.value &&
                to(new Date(e.currentTarget.value).getTime(), state.until)} />
            <span class="dim">to</span>
            <input type="datetime-local" step="1" aria-label="To" value=${local(state.until)} onChange=${(e) => e.currentTarget.value &&
                to(state.since, new Date(e.currentTarget.value).getTime())} />
            <button type="button" aria-label="Earlier" onClick=${() => to(state.since - width / 2, state.until - width / 2)}>←</button>
            <button type="button" aria-label="Later" onClick=${() => to(state.since + width / 2, state.until + width / 2)}>→</button>
            <button type="button" aria-label="Zoom in" onClick=${() => to(middle - width / 4, middle + width / 4)}>+</button>
            <button type="button" aria-label="Zoom out" onClick=${() => to(middle - width, middle + width)}>−</button>
        </div>
    </fieldset>`;
}

function chosenAtFirst(device) {
    const all = metricsOf(device).sort();
    const kept = JSON.parse(localStorage.getItem(`${KEY}.${device.id}`) ?? 'null')?.filter((name) => all.includes(name));
    return kept?.length ? kept : all.slice(0, 3);
}

/** With `isFirst`, the present alone: somebody waits for the first reading, and looks for no other time. */
export function Readings({ device, shows, isTold, isFirst, span = 900 }) {
    const all = metricsOf(device).sort();
    const [chosen, setChosen] = useState(() => chosenAtFirst(device));
    const [range, setRange] = useState({ span });
    const state = useSeries(device.id, chosen, range, device.latest, isTold);
    useEffect(() => {
        if (!chosen.length && all.length) setChosen(all.slice(0, 3));
    }, [all.join('\n')]);
    function toggle(name) {
        const next = chosen.includes(name) ? chosen.filter((n) => n !== name) : [...chosen, name].sort().slice(-MOST);
        setChosen(next);
        localStorage.setItem(`${KEY}.${device.id}`, JSON.stringify(next));
    }
    if (!all.length) return html`<p class="empty">The device has sent no number yet.</p>`;
    const lines = chosen.map((metric) => ({ metric, points: state.lines.find((line) => line.metric === metric)?.points ?? [] }));
    return html`
        <div class="chips" role="group" aria-label="Metrics">
            ${all.map((name) => html`<button key=${name} type="button" class="chip" aria-pressed=${chosen.includes(name)}
                onClick=${() => toggle(name)}>${name}</button>`)}</div>
        ${!isFirst && html`<${RangePicker} range=${range} set=${setRange} state=${state} />`}
        <p class="dim small" data-testid="range">${range.span ? html`<span class="dot live"></span> Live` :
            'Stands still'} · ${state.bucket === undefined ? 'loading…' : state.bucket ?
                `averages of ${spanText(state.bucket)}, with least and greatest` :
                'no readings'}${!isFirst && ' · drag across a plot to zoom'}</p>
        <${Problem} error=${state.error} />
        ${shows === 'table' ? html`<${Rows} lines=${lines} />` :
            html`<div class="plots">${lines.map((line, index) => html`<section key=${line.metric} class="card" aria-label=${line.metric}>
            <header><h2>${line.metric}</h2><strong class="now">${value(device.latest[line.metric]?.value)}</strong></header>
            <${Plot} label=${line.metric} points=${line.points} since=${state.since} until=${state.until} hue=${`--s${(index % 8) + 1}`}
                sync=${device.id} onZoom=${(since, until) => setRange({ since: Math.round(since), until: Math.round(until) })} />
        </section>`)}</div>`}`;
}

function Rows({ lines }) {
    const times = new Map();
    for (const line of lines) for (const point of line.points) times.set(point[0], { ...times.get(point[0]), [line.metric]: point[1] });
    const rows = [...times].sort((a, b) => b[0] - a[0]).slice(0, 500);
    if (!rows.length) return html`<p class="empty">There is no reading in this range.</p>`;
    return html`<${Table} label="Readings" head=${['Time', ...lines.map((line) => `>${line.metric}`)]}>
        ${rows.map(([at, values]) => html`<tr key=${at}><td class="nowrap">${moment(at)}</td>
            ${lines.map((line) => html`<td key=${line.metric} class="right mono">${line.metric in values ? number(values[line.metric]) :
                ''}</td>`)}</tr>`)}
    <//>`;
}

