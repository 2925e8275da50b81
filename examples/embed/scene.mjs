// What the camera sees: a yard at night, drawn instead of filmed.

const WHO = {
    person: '<path d="M-9 0V-34q0-12 9-12t9 12V0h-6v-22h-6V0z"/><circle cy="-54" r="8"/>',
    parcel: '<path d="M-16 0v-24h32V0z"/><path d="M-3-24h6V0h-6z" fill="#7c5a2e"/>',
    cat: '<path d="M-18 0v-12q0-8 10-8h14l4-8 4 6q8 0 8 8l-6 6v8h-5v-8h-18v8z"/><path d="M-18-12q-10-2-8-16" fill="none" stroke="#d8dee9" stroke-width="4"/>',
    car: '<path d="M-48-6v-14l14-4 10-14h34l14 14 22 4v14z"/><circle cx="-26" cy="-4" r="9" fill="#11151c"/><circle cx="28" cy="-4" r="9" fill="#11151c"/>',
};
const COLOURS = { person: '#d8dee9', parcel: '#b58a4e', cat: '#d8dee9', car: '#8fa3bf' };

/** An SVG of what is there at step `n`. */
export function scene(n, what) {
    const kind = what in WHO ? what : 'person';
    const x = 40 + ((n * 11) % 250);
    const width = kind === 'car' ? 108 : 48;
    const stars = Array.from({ length: 14 }, (_, at) => `<circle cx="${(at * 67) % 320}" cy="${(at * 29) % 70}" r="${0.6 + (at % 3) / 3}"/>`).join('');
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 180" width="640" height="360">
<defs><linearGradient id="s" x2="0" y2="1"><stop stop-color="#10182b"/><stop offset="1" stop-color="#2b3a5c"/></linearGradient>
<radialGradient id="l"><stop stop-color="#ffe9b0" stop-opacity=".55"/><stop offset="1" stop-color="#ffe9b0" stop-opacity="0"/></radialGradient></defs>
<rect width="320" height="180" fill="url(#s)"/><g fill="#fff" opacity=".7">${stars}</g><circle cx="270" cy="34" r="13" fill="#f4ecd2"/>
<path d="M0 128h320v52H0z" fill="#1d2736"/><path d="M18 128V74l44-28 44 28v54z" fill="#182030"/><path d="M40 86h16v18H40zM70 86h16v18H70z" fill="#ffd98a"/>
<path d="M150 128V92M150 92q8-6 14 0" stroke="#566" stroke-width="3" fill="none"/><circle cx="164" cy="96" r="60" fill="url(#l)"/>
<g transform="translate(${x} 152)"><ellipse rx="${width / 2}" ry="5" fill="#000" opacity=".35"/><g fill="${COLOURS[kind]}">${WHO[kind]}</g>
<rect x="${-width / 2 - 6}" y="-68" width="${width + 12}" height="74" rx="3" fill="none" stroke="#4ade80" stroke-width="1.5"/></g></svg>`;
}
