/** What a browser's statistics say of the path that packets take. Pure. */

export type Route = 'direct' | 'relayed';

export interface PathStats {
  /** Straight to the other side, or through a TURN relay at either end; `null` while the browser names no path. */
  readonly route: Route | null;
  /** Milliseconds, as ICE measured last; `null` when the browser has no figure. */
  readonly roundTrip: number | null;
  /** Octets below DTLS in all, whatever path they took. */
  readonly sent: number;
  readonly received: number;
  /** Those of them that went through a relay, as far as the browser still lists its path. */
  readonly relayed: { readonly sent: number; readonly received: number };
}

type Entry = Readonly<Record<string, unknown>>;
/** By id, as plain records: the standard's types leave out what browsers have. */
export type Stats = ReadonlyMap<string, Entry>;

/** `relays`: the addresses (`relayOf`) of the relay candidates that the other side named. */
export function pathStats(stats: Stats, relays: ReadonlySet<string>): PathStats {
  const pairs = [...stats.values()].filter((entry) => entry['type'] === 'candidate-pair');
  const relayed = pairs.filter((pair) => isRelayed(pair, stats, relays));
  const transport = transportOf(stats);
  // Firefox names no selected pair in its transport.
  const selected = stats.get(String(transport?.['selectedCandidatePairId'])) ?? pairs.find((pair) => pair['nominated'] === true && pair['state'] === 'succeeded');
  const seconds = selected?.['currentRoundTripTime'];
  return {
    route: selected === undefined ? null : relayed.includes(selected) ? 'relayed' : 'direct',
    roundTrip: typeof seconds === 'number' ? seconds * 1000 : null,
    sent: count(transport, 'bytesSent') ?? sum(pairs, 'bytesSent'),
    received: count(transport, 'bytesReceived') ?? sum(pairs, 'bytesReceived'),
    relayed: { sent: sum(relayed, 'bytesSent'), received: sum(relayed, 'bytesReceived') },
  };
}

export function transportOf(stats: Stats): Entry | undefined {
  return [...stats.values()].find((entry) => entry['type'] === 'transport');
}

/** Where a candidate line's relay is: one text for each address, port and transport; `null` for other candidates. */
export function relayOf(line: string): string | null {
  const [, , protocol = '', , address = '', port = '', , type] = line.split(' ');
  return type === 'relay' ? place(protocol, address, port) : null;
}

function isRelayed(pair: Entry, stats: Stats, relays: ReadonlySet<string>): boolean {
  const [local, remote] = [stats.get(String(pair['localCandidateId'])), stats.get(String(pair['remoteCandidateId']))];
  // A peer-reflexive candidate of ours that stands on a relay has the relay's protocol, and no other has.
  if (local?.['candidateType'] === 'relay' || typeof local?.['relayProtocol'] === 'string' || remote?.['candidateType'] === 'relay') return true;
  // The other side's relay as we saw it before we were told of it, which some browsers call peer-reflexive for ever.
  const { protocol, address, ip, port } = remote ?? {};
  return relays.has(place(String(protocol), String(address ?? ip), String(port)));
}

function place(protocol: string, address: string, port: string): string {
  const bare = address.replace(/^\[|\]$/g, '');
  const url = bare.includes(':') ? `http://[${bare}]/` : null;
  // IPv6 has many texts for one address.
  const host = url !== null && URL.canParse(url) ? new URL(url).hostname : bare.toLowerCase();
  return `${protocol.toLowerCase()} ${host} ${port}`;
}

function count(entry: Entry | undefined, name: string): number | null {
  const value = entry?.[name];
  return typeof value === 'number' ? value : null;
}

function sum(entries: readonly Entry[], name: string): number {
  return entries.reduce((total, entry) => total + (count(entry, name) ?? 0), 0);
}
