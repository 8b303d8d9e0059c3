// Payloads as JSON, text and bytes.

/** The bytes of a stored message: `body` is base64 where the payload is not JSON. */
export function bytesOf(message) {
    if (message.body != null) return Uint8Array.from(atob(message.body), (c) => c.charCodeAt(0));
    return new TextEncoder().encode(typeof message.payload === 'string' ? message.payload : JSON.stringify(message.payload));
}

/** One line, for lists. */
export function preview(message) {
    if (message.body == null) return typeof message.payload === 'string' ? message.payload : JSON.stringify(message.payload);
    const bytes = bytesOf(message);
    return `${bytes.length} bytes: ${[...bytes.slice(0, 24)].map((b) => b.toString(16).padStart(2, '0')).join(' ')}${bytes.length > 24 ?
        ' …' : ''}`;
}

export function asJson(message) {
    return message.payload == null && message.body != null ? 'The payload is not JSON.' : JSON.stringify(message.payload, null, 2);
}

export function asText(message) {
    return new TextDecoder().decode(bytesOf(message));
}

/** Sixteen bytes a line, with the place and the printable characters. */
export function asHex(message) {
    const bytes = bytesOf(message);
    const lines = [];
    for (let at = 0; at < Math.min(bytes.length, 16384); at += 16) {
        const part = [...bytes.slice(at, at + 16)];
        const hex = part.map((b) => b.toString(16).padStart(2, '0')).join(' ');
        lines.push(`${at.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  ${part.map((b) => (b > 31 && b < 127 ? String.fromCharCode(b) :
            '.')).join('')}`);
    }
    if (bytes.length > 16384) lines.push(`… ${bytes.length - 16384} bytes more`);
    return lines.join('\n') || '(empty)';
}
