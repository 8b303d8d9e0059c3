// Icons of 24 by 24, as stroked paths.
import { html } from './vendor/view.js';

const PATHS = {
    overview: 'M4 13h6V4H4zM14 20h6V11h-6zM4 20h6v-3H4zM14 7h6V4h-6z',
    devices: 'M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4',
    messages: 'M4 5h16v11H9l-5 4zM8 9h8M8 12.500h5',
    integrations: 'M9 15l6-6M10.500 6.500l1.500-1.500a5 5 0 0 1 7 7l-1.500 1.500M13.500 17.500L12 19a5 5 0 0 1-7-7l1.500-1.500',
    'dead-letters': 'M12 3l9.500 17h-19zM12 10v4.500M12 17.200v.1',
    webhooks: 'M4 12h12M11 6l6 6-6 6M20 5v14',
    access: 'M8 14a4 4 0 1 1 3.800-5.200L20 9v3h-2v3h-3v-3h-3.200A4 4 0 0 1 8 14zM8 10v.1',
    queue: 'M4 6h16M4 12h16M4 18h10',
    installation: 'M4 4h16v6H4zM4 14h16v6H4zM7.500 7v.1M7.500 17v.1',
    start: 'M12 3v4M12 17v4M3 12h4M17 12h4M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z',
    code: 'M9 7l-5 5 5 5M15 7l5 5-5 5',
    copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
    close: 'M6 6l12 12M18 6L6 18',
    menu: 'M4 7h16M4 12h16M4 17h16',
    theme: 'M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16',
    out: 'M14 4h6v16h-6M10 8l-4 4 4 4M6 12h9',
    search: 'M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15.500 15.500L20 20',
};

export const Icon = ({ name }) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
    <path d=${PATHS[name]} /></svg>`;
