// In a stock page: random values of every kind, and what becomes of them on the way. The same seed gives the same values.
{
    /** @param {number} seed mulberry32 */
    const generator = (seed) => () => {
        seed = (seed + 0x6d2b79f5) | 0;
        let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };

    /** `count` values that this serialization takes as whole messages. `old`: of which PeerJS 1.4.7's BinaryPack spoils none. */
    window.random_values = (seed, count, serialization, old = false) => {
        const random = generator(seed);
        const below = (end) => Math.floor(random() * end);
        const pick = (list) => list[below(list.length)];
        const times = (count, make) => Array.from({ length: count }, (_, n) => make(n));
        const json = serialization === 'json';

        // Around the powers of two, as far as numbers are exact.
        const integer = () => (pick([1, -1]) * Math.min(2 ** below(54) + below(3) - 1, 2 ** 53));
        // BinaryPack has no whole numbers beyond 64 bits.
        const places = serialization === 'binary' ? 6 : 300;
        const float = () => (random() - 0.5) * 10 ** (below(2 * places + 1) - places);
        // A message of PeerJS's json has less than 16,300 octets.
        const text = () => times(json ? below(20) : pick([0, 1, 15, 16, 31, 32, 255, 256, 30_000]), () => {
            const point = below(pick([0x80, 0x800, 0xd800, old ? 0xd800 : 0x110000]));
            return String.fromCodePoint(point >= 0xd800 && point < 0xe000 ? 0x1f300 : point);
        }).join('');
        const bytes = () => new Uint8Array(times(pick([old ? 1 : 0, 1, 15, 16, 255, 256, 65_535, 65_536]), () => below(256)));
        const length = (lengths) => Math.min(pick(lengths), json ? 3 : Infinity);
        const kinds = (depth) => [
            () => null,
            () => undefined,
            () => below(2) === 0,
            integer,
            float,
            text,
            () => pick([-0, 127, 128, -32, -33, 255, 256, 65_535, 65_536, -(2 ** 31), -(2 ** 31) - 1, 2 ** 32, 2 ** 53, -(2 ** 53)]),
            () => new Date(below(2 ** 42) - 2 ** 41),
            ...json ? [] : [bytes],
            ...json || old ? [] : [() => new Uint16Array(times(below(20), () => below(65_536)))],
            ...json ? [] : serialization === 'MsgPack' ? [() => pick([NaN, Infinity, -Infinity, 2 ** 60, 1e300, 5e-324])] : [() => bytes().buffer],
            ...depth === 0 ? [] : [
                () => times(length([0, 1, 2, 15, 16, 17]), () => any(depth - 1)),
                () => Object.fromEntries(times(length([0, 1, 2, 15, 16]), (n) => [`${n}${pick(['', 'ä', ' ✓', '__proto__'])}`, any(Math.max(0, depth - 3))])),
            ],
        ];
        const any = (depth) => pick(kinds(depth))();
        const whole = () => {
            if (serialization === 'raw') return pick([() => text() || 'x', () => new Uint8Array([1, ...bytes()]), () => new Uint8Array([2, ...bytes()]).buffer])();
            for (;;) {
                const value = any(5);
                // PeerJS loses these as whole messages.
                if (value !== null && value !== undefined && (!json || JSON.stringify(value) !== 'null')) return value;
            }
        };
        return times(count, whole);
    };

    /** What arrives of a value, by the serialization's rules: bytes as `{ octets }`, moments as text or `{ date }`. */
    window.arriving = (value, serialization) => {
        if (value === undefined || value === null) return null;
        if (value instanceof Date) return serialization === 'binary' ? String(value) : serialization === 'json' ? value.toISOString() : { date: value.getTime() };
        if (value instanceof ArrayBuffer) return { octets: [...new Uint8Array(value)] };
        if (ArrayBuffer.isView(value)) return { octets: [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] };
        if (typeof value === 'number') return Object.is(value, -0) ? 0 : value;
        if (Array.isArray(value)) return value.map((item) => arriving(item, serialization));
        if (typeof value !== 'object') return value;
        const members = Object.entries(value).filter(([, member]) => serialization !== 'json' || member !== undefined);
        return Object.fromEntries(members.map(([name, member]) => [name, arriving(member, serialization)]).sort(([a], [b]) => a < b ? -1 : 1));
    };

    /** JSON of what arrives, with the numbers that JSON does not have. */
    const shown = (value, serialization) => JSON.stringify(arriving(value, serialization), (_, part) => typeof part === 'number' && !Number.isFinite(part) ? `${part}` : part);

    /** Sends values to a peer that says back what it hears; returns the first that came back as something else, or else how many came. */
    window.compare_values = async (connection, seed, count, old) => {
        const { serialization } = connection;
        const sent = random_values(seed, count, serialization, old);
        for (const value of sent) connection.send(value);
        const back = await received(connection, count);
        const [expected, found] = [sent, back].map((values) => {
            const all = values.map((value) => shown(value, serialization));
            return connection.dataChannel.ordered ? all : all.sort();
        });
        const n = expected.findIndex((one, n) => one !== found[n]);
        return n < 0 ? count : { n, expected: expected[n].slice(0, 300), found: found[n].slice(0, 300) };
    };

    /** Says back everything that comes. */
    window.echo = (connection) => connection.on('data', (data) => connection.send(data));

    /** `size` octets that show where each came from. */
    window.pattern = (size) => {
        const words = new Uint32Array(Math.ceil(size / 4));
        for (let n = 0; n < words.length; n++) words[n] = Math.imul(n, 2654435761);
        return new Uint8Array(words.buffer, 0, size);
    };
    window.is_pattern = (data, size) => {
        const octets = data instanceof Uint8Array ? data : new Uint8Array(data);
        if (octets.length !== size) return false;
        const expected = pattern(size);
        for (let n = 0; n < size; n++) if (octets[n] !== expected[n]) return false;
        return true;
    };
}
