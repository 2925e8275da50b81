import { describe, expect, test } from 'vitest';
import { pathStats, relayOf } from './path.js';

type Entry = Readonly<Record<string, unknown>>;

function of(local: Entry, remote: Entry, relays: readonly string[] = [], more: readonly Entry[] = []): ReturnType<typeof pathStats> {
  const entries: readonly Entry[] = [
    { id: 'T', type: 'transport', selectedCandidatePairId: 'P', bytesSent: 700, bytesReceived: 900 },
    { id: 'P', type: 'candidate-pair', localCandidateId: 'L', remoteCandidateId: 'R', bytesSent: 500, bytesReceived: 600, currentRoundTripTime: 0.002 },
    { id: 'L', type: 'local-candidate', ...local },
    { id: 'R', type: 'remote-candidate', ...remote },
    ...more,
  ];
  return pathStats(new Map(entries.map((entry) => [String(entry['id']), entry])), new Set(relays));
}

const HOST = { candidateType: 'host', protocol: 'udp', address: '192.0.2.1', port: 9 };
const seen = (address: string, port: number, protocol = 'udp') => ({ candidateType: 'prflx', protocol, address, port });

describe('a path is relayed', () => {
  const named = [relayOf('candidate:1 1 udp 1 198.51.100.7 61000 typ relay raddr 0.0.0.0 rport 0'), relayOf('candidate:1 1 UDP 1 2001:DB8:0:0::7 61002 typ relay')] as string[];

  test.each<[string, Entry, Entry, string]>([
    ['where ours is a relay', { candidateType: 'relay' }, HOST, 'relayed'],
    ['where theirs is a relay', HOST, { candidateType: 'relay' }, 'relayed'],
    ['where ours was found upon a relay', { candidateType: 'prflx', relayProtocol: 'tls' }, HOST, 'relayed'],
    ['where theirs was seen at a relay that they named', HOST, seen('198.51.100.7', 61_000), 'relayed'],
    ['where it was seen so by IPv6, however that is written', HOST, seen('2001:db8::7', 61_002), 'relayed'],
    ['and not at another port of the same machine', HOST, seen('198.51.100.7', 61_001), 'direct'],
    ['and not over another transport', HOST, seen('198.51.100.7', 61_000, 'tcp'), 'direct'],
    ['and not where both ends are their own', HOST, HOST, 'direct'],
    ['and not through a mere NAT', { candidateType: 'srflx' }, seen('203.0.113.9', 5), 'direct'],
  ])('%s', (_, local, remote, route) => {
    expect(of(local, remote, named).route).toBe(route);
  });

  test('or not known, where the browser names no pair', () => {
    expect(pathStats(new Map(), new Set())).toEqual({ route: null, roundTrip: null, sent: 0, received: 0, relayed: { sent: 0, received: 0 } });
  });
});

test('the pair in use is found without a transport that names it', () => {
  const pair = { type: 'candidate-pair', localCandidateId: 'L', remoteCandidateId: 'R', bytesSent: 5, bytesReceived: 6 };
  const stats = new Map<string, Entry>([
    ['A', { ...pair, nominated: false, state: 'succeeded', remoteCandidateId: 'D' }],
    ['B', { ...pair, nominated: true, state: 'succeeded' }],
    ['L', HOST],
    ['R', { candidateType: 'relay' }],
    ['D', HOST],
  ]);
  expect(pathStats(stats, new Set())).toMatchObject({ route: 'relayed', sent: 10, received: 12, relayed: { sent: 5, received: 6 } });
});

test('octets are counted in all, and those through a relay apart, also when the path is another by now', () => {
  const before = [
    { id: 'Q', type: 'candidate-pair', localCandidateId: 'S', remoteCandidateId: 'R', bytesSent: 200, bytesReceived: 300 },
    { id: 'S', type: 'local-candidate', candidateType: 'relay' },
  ];
  expect(of(HOST, HOST, [], before)).toEqual({ route: 'direct', roundTrip: 2, sent: 700, received: 900, relayed: { sent: 200, received: 300 } });
});

test('only relay candidates name a relay', () => {
  expect(relayOf('candidate:1 1 udp 1 198.51.100.7 61000 typ srflx raddr 192.0.2.1 rport 9')).toBeNull();
  expect(relayOf('')).toBeNull();
});
