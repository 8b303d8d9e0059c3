// Plots: uPlot in the console's colours, and sparklines.
import { html, useEffect, useMemo, useRef } from './vendor/view.js';
import uPlot from './vendor/uplot.js';
import { axis, moment, number } from './format.js';
import { theme } from './state.js';

const dark = matchMedia('(prefers-color-scheme: dark)');

function colour(name) {
    const probe = document.createElement('span');
    probe.style.color = `var(${name})`;
    probe.hidden = true;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
}

function faint(found, alpha) {
    return found.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

/** `points` with a place without a value wherever nothing came for long: no line is drawn across. */
function withGaps(points) {
    if (points.length < 3) return points;
    const steps = points.slice(1).map((p, index) => p[0] - points[index][0]);
    const most = 8 * [...steps].sort((a, b) => a - b)[steps.length >> 1];
    if (!steps.some((step) => step > most)) return points;
    return points.flatMap((p, index) => (steps[index] > most ? [p, [p[0] + 1, null, null, null]] : [p]));
}

/** The x values, and the y values of each column by them. */
function aligned(points, columns) {
    return [points.map((p) => p[0]), ...columns.map((index) => points.map((p) => p[index] ?? null))];
}

function options({ width, height, hue, bars, since, until, sync, onZoom, onHover }) {
    const stroke = colour(hue);
    const text = colour('--dim');
    const grid = { stroke: faint(colour('--line'), 0.9), width: 1 };
    const font = '12px system-ui, sans-serif';
    const line = { stroke, width: 1.75, points: { size: 6 } };
    const filled = bars
        ? [{ ...line, width: 0, fill: stroke, paths: uPlot.paths.bars({ size: [0.8, 24], align: 1 }), points: { show: false } }]
        : [line, { stroke: 'transparent', points: { show: false } }, { stroke: 'transparent', points: { show: false } }];
    return {
        width,
        height,
        ms: 1,
        padding: [8, 12, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: Boolean(onZoom), y: false, setScale: false }, sync: sync ? { key: sync } : undefined,
            points: { size: 8 } },
        scales: { x: { time: true, range: () => [since(), until()] }, y: { range: (u, least, most) => range(least, most, bars) } },
        series: [{}, ...filled],
        bands: bars ? undefined : [{ series: [3, 2], fill: faint(stroke, 0.15) }],
        axes: [
            { stroke: text, font, grid, ticks: { show: false }, size: 28, values:
                (u, splits, i, space, step) => splits.map((ms) => axis(ms, step)) },
            { stroke: text, font, grid, ticks: { show: false }, size: (u, values) => 16 + 7 *
                Math.max(2, ...(values ?? []).map((v) => v.length)), values: (u, splits) => splits.map(number) },
        ],
        hooks: {
            setSelect: [(u) => {
                if (onZoom && u.select.width > 4) onZoom(u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x'));
                u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            }],
            setCursor: [(u) => onHover?.(u.cursor.idx == null ? null : u.cursor.idx)],
        },
    };
}

function range(least, most, fromZero) {
    if (least == null || most == null) return [0, 1];
    if (fromZero) return [0, Math.max(1, most * 1.1)];
    const room = (most - least) * 0.08 || Math.abs(most) * 0.05 || 1;
    return [least - room, most + room];
}

/**
 * One metric over time. `points` are [ms, value, least, greatest]; `since` and `until` bound the x axis; `onZoom(since, until)` hears
 * of a drag; plots of the same `sync` show their cursors together.
 */
export function Plot({ label, points, since, until, hue = '--s1', height = 170, bars = false, sync, onZoom }) {
    const place = useRef();
    const state = useRef({});
    const hover = useRef();
    const drawn = useMemo(() => (bars ? points : withGaps(points)), [points]);
    Object.assign(state.current, { points: drawn, since, until, onZoom });

    useEffect(() => {
        const now = state.current;
        const node = place.current;
        let plot;
        const rebuild = () => {
            plot?.destroy();
            plot = now.plot = new uPlot(
                options({
                    width: node.clientWidth || 600, height, hue, bars, sync,
                    since: () => now.since, until: () => now.until,
                    onZoom: onZoom && ((from, to) => now.onZoom(from, to)),
                    onHover: (index) => {
                        const at = index == null ? null : now.points[index];
                        if (hover.current) hover.current.textContent = at?.[1] != null ? `${moment(at[0])}  ${number(at[1])}` : '';
                    },
                }),
                aligned(now.points, bars ? [1] : [1, 2, 3]),
                node,
            );
        };
        rebuild();
        const sized = new ResizeObserver(() => node.clientWidth && plot.setSize({ width: node.clientWidth, height }));
        sized.observe(node);
        dark.addEventListener('change', rebuild);
        return () => {
            sized.disconnect();
            dark.removeEventListener('change', rebuild);
            plot.destroy();
        };
    }, [hue, height, bars, sync, theme.value]);

    useEffect(() => {
        state.current.plot?.setData(aligned(drawn, bars ? [1] : [1, 2, 3]));
    }, [drawn, since, until]);

    return html`<figure class="plot"><figcaption class="unseen">${summary(label, points)}</figcaption>
        <div ref=${place} aria-hidden="true"></div><div class="hover" ref=${hover} aria-hidden="true"></div></figure>`;
}

function summary(label, points) {
    if (!points.length) return `${label}: no readings in this range`;
    const values = points.map((p) => p[1]);
    const [least, most] = values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
    const range = `from ${moment(points[0][0])} to ${moment(points.at(-1)[0])}`;
    return `${label}: ${points.length} points ${range}, between ${number(least)} and ${number(most)}, last ${number(values.at(-1))}`;
}

/** A small line without axes; it repeats what stands beside it. */
export function Spark({ points, width = 120, height = 28 }) {
    if (!points?.length) return html`<svg class="spark" width=${width} height=${height} aria-hidden="true"></svg>`;
    const [from, to] = [points[0][0], points.at(-1)[0]];
    const values = points.map((p) => p[1]);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const x = (ms) => (from === to ? width - 3 : 1 + ((ms - from) / (to - from)) * (width - 4));
    const y = (value) => (most === least ? height / 2 : 2 + (1 - (value - least) / (most - least)) * (height - 4));
    const path = points.map((p, index) => `${index ? 'L' : 'M'}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`).join('');
    const last = points.at(-1);
    return html`<svg class="spark" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} aria-hidden="true">
        <path d=${path} /><circle cx=${x(last[0])} cy=${y(last[1])} r="2" /></svg>`;
}
