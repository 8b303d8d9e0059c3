import { html } from './vendor/view.js';
import qrcode from './vendor/qrcode.js';

/** `text` as a QR code. */
export function Qr({ text, label }) {
    const code = qrcode(0, 'M');
    code.addData(text);
    code.make();
    const size = code.getModuleCount();
    let path = '';
    for (let row = 0; row < size; row++) for (let column = 0; column < size; column++) if (code.isDark(row, column)) path +=
        `M${column + 4} ${row + 4}h1v1h-1z`;
    return html`<svg class="qr" role="img" aria-label=${label} viewBox=${`0 0 ${size + 8} ${size + 8}`} shape-rendering="crispEdges">
        <rect width="100%" height="100%" fill="#fff" /><path d=${path} fill="#000" /></svg>`;
}
