import { describe, expect, test } from 'vitest';
import { parseIceAnswer, parseIceServers } from './ice-servers.js';

const STUN = { urls: ['stun:stun.example:3478'] };
const TURN = { urls: ['turn:turn.example:3478?transport=udp', 'turns:turn.example:5349?transport=tcp'], username: '1795300000:me', credential: 'aGVsbG8=' };

describe('a list of ICE servers', () => {
  test('is taken as it is, without what is not part of it', () => {
    expect(parseIceServers([STUN, { ...TURN, credentialType: 'password', more: 1 }])).toEqual([STUN, TURN]);
    expect(parseIceServers([])).toEqual([]);
  });

  test.each(['stun:a', 'stuns:a.example', 'stun:192.0.2.1:3478', 'stun:[2001:db8::1]:3478', 'turn:a', 'turn:a:1?transport=tcp', 'turns:[::1]?transport=udp', 'turn:a:65535'])('may name %s', (urls) => {
    expect(parseIceServers([{ ...TURN, urls }])).toMatchObject([{ urls: [urls] }]);
  });

  test.each<unknown>([
    'http://a', 'stun://a', 'stun:', 'stun:a:0', 'stun:a:65536', 'stun:a:port', 'stun:a?transport=udp', 'turn:a?transport=tls', 'turn:a?transport=udp&x', 'turn:a b', 'turn:me@a',
    'turn:[::1', 'TURN:a', ' turn:a', 'turn:a\n', `turn:${'a'.repeat(400)}`, 7, null, {}, [['turn:a']],
  ])('has nothing of an entry that names %j', (urls) => {
    expect(parseIceServers([{ ...TURN, urls }])).toEqual([]);
  });

  test.each<[string, object]>([
    ['no user name', { username: undefined }],
    ['an empty user name', { username: '' }],
    ['a credential that is no text', { credential: 5 }],
    ['a credential with a line break', { credential: 'a\nb' }],
    ['a user name that is too long for TURN', { username: 'x'.repeat(509) }],
    ['a user name that is too long for TURN in octets', { username: 'ä'.repeat(255) }],
  ])('has no TURN server with %s, and still the STUN server of the same entry', (_, wrong) => {
    expect(parseIceServers([{ ...TURN, ...wrong, urls: [...TURN.urls, 'stun:a'] }])).toEqual([{ urls: ['stun:a'] }]);
  });

  test('is read to sixteen servers of eight addresses', () => {
    const many = Array.from({ length: 40 }, (_, n) => `stun:s${n}`);
    expect(parseIceServers(many.map((urls) => ({ urls })))).toHaveLength(16);
    expect(parseIceServers([{ urls: many }])).toEqual([{ urls: many.slice(0, 8) }]);
  });

  test.each([undefined, null, {}, 'x', 7])('is not %j', (value) => {
    expect(parseIceServers(value)).toBeNull();
  });
});

describe('the answer to who asks for servers', () => {
  test('says for how many seconds they are good, and no longer than 30 days is believed', () => {
    expect(parseIceAnswer({ iceServers: [STUN], ttl: 600 })).toEqual({ iceServers: [STUN], ttl: 600 });
    expect(parseIceAnswer({ iceServers: [], ttl: 1e12 })).toEqual({ iceServers: [], ttl: 2_592_000 });
  });

  test.each([{}, null, [], { iceServers: [] }, { iceServers: [], ttl: 0 }, { iceServers: [], ttl: 'x' }, { iceServers: [], ttl: Number.NaN }, { iceServers: {}, ttl: 5 }])('is not %j', (value) => {
    expect(parseIceAnswer(value)).toBeNull();
  });
});
