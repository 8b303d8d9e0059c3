// Numbers and times as the browser's locale writes them.
const locale = navigator.languages?.length ? [...navigator.languages] : undefined;
const plain = new Intl.NumberFormat(locale, { maximumSignificantDigits: 5 });
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(locale, { notation: 'compact', maximumSignificantDigits: 3 });
const rates = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const percents = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 });
const dateTime = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });
const time = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });
const hours = new Intl.DateTimeFormat(locale, { weekday: 'short', hour: '2-digit', minute: '2-digit' });
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' }); // words are those of the page
const STEPS = [['second', 60], ['minute', 60], ['hour', 24], ['day', 30], ['month', 12], ['year', Infinity]];
const axes = {
    seconds: new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' }),
    minutes: new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' }),
    days: new Intl.DateTimeFormat(locale, { day: '2-digit', month: 'short' }),
};

/** 1234.567 → 1,234.6 or 1.234,6; null → an en dash. */
export const number = (value) => (Number.isFinite(value) ? (Math.abs(value) >= 1e5 ? whole : plain).format(value) : '–');
export const count = (value) => (Number.isFinite(value) ? (Math.abs(value) < 1e5 ? whole : compact).format(value) : '–');
export const rate = (value) => (Number.isFinite(value) ? (value !== 0 && Math.abs(value) < 10 ? rates : whole).format(value) : '–');
export const percent = (value) => (Number.isFinite(value) ? percents.format(value) : '–');
export const moment = (text) => (text ? dateTime.format(new Date(text)) : '–');
export const clock = (text) => (text ? time.format(new Date(text)) : '–');
export const hour = (text) => (text ? hours.format(new Date(text)) : '–');

const isRecent = (text) => Date.now() - new Date(text) < 864e5;

export const isPast = (text) => new Date(text) <= Date.now();

/** When, to the millisecond in the last 24 hours, else with the date. */
export const when = (text) => (isRecent(text) ? time : dateTime).format(new Date(text));

/** Since when: the time of day of the last 24 hours, else the date, too. */
export const since = (text) => (isRecent(text) ? axes.seconds : dateTime).format(new Date(text));

/** How long ago, or until when: "3 min ago". */
export function ago(text, now = Date.now()) {
    if (!text) return '–';
    let value = (new Date(text) - now) / 1000;
    if (Math.abs(value) < 2) return relative.format(0, 'second');
    for (const [unit, size] of STEPS) {
        if (Math.abs(value) < size) return relative.format(Math.trunc(value), unit);
        value /= size;
    }
    return '';
}

/** Seconds as a span: 0.034 → "34 ms", 75 → "1.3 min". */
export function span(seconds) {
    if (!Number.isFinite(seconds)) return '–';
    for (const [unit, size, factor] of [['ms', 1, 1000], ['s', 60, 1], ['min', 3600, 1 / 60], ['h', 86400, 1 / 3600]])
        if (seconds < size) return withUnit(seconds * factor, unit);
    return withUnit(seconds / 86400, seconds < 172800 ? 'day' : 'days');
}

const withUnit = (value, unit) => `${(value < 10 ? rates : whole).format(value)} ${unit}`;

/** A label of a time axis whose labels are `step` milliseconds apart. */
export const axis = (ms, step) => (step < 60e3 ? axes.seconds : step < 864e5 ? axes.minutes : axes.days).format(ms);

/** A metric's value: numbers by the locale, the rest as JSON. */
export const value = (given) => (typeof given === 'number' ? number(given) : typeof given === 'string' ? given :
    JSON.stringify(given ?? null));
