/**
 * The one session description that exists here: a single section that carries data channels (RFC 8841). What is received is read by a strict grammar, what is
 * applied is written from scratch, so nothing in a received text can reach the browser but the values below.
 */
type Octets = Uint8Array<ArrayBuffer>;

/** Characters of a description at most: 64 KiB. A browser's data offer has about 600. */
export const MAX_SDP = 65_536;

export type Setup = 'actpass' | 'active' | 'passive';

export interface DataDescription {
  /** 4 to 256 ice-chars (RFC 8839 section 5.4). */
  readonly ufrag: string;
  /** 22 to 256 ice-chars. */
  readonly password: string;
  readonly setup: Setup;
  readonly mid: string;
  /** Octets; 65,535 when absent from the text, 0 means any size (RFC 8841 section 6). */
  readonly maxMessageSize: number;
  readonly sctpPort: number;
  /** SHA-256 of the certificate: the only fingerprint in the text. */
  readonly fingerprint: Octets;
}

/** `null` when the text breaks the grammar, has no or more than one distinct fingerprint, or one that is not SHA-256. */
export function parseSdp(text: string): DataDescription | null {
  if (text.length > MAX_SDP) return null;
  const values = collect(text);
  if (values === null) return null;
  const ufrag = one(values, 'ice-ufrag', /^[A-Za-z0-9+/]{4,256}$/);
  const password = one(values, 'ice-pwd', /^[A-Za-z0-9+/]{22,256}$/);
  const setup = one(values, 'setup', /^(?:actpass|active|passive)$/) as Setup | null;
  const mid = one(values, 'mid', /^[!#-'*+\-.0-9A-Z^-~]{1,32}$/);
  const sctpPort = number(values, 'sctp-port', 5000, 65_535);
  const maxMessageSize = number(values, 'max-message-size', 65_535, 2 ** 32 - 1);
  const fingerprint = parseFingerprint(one(values, 'fingerprint', /^[^ ]+ [0-9A-Fa-f:]+$/));
  if (ufrag === null || password === null || setup === null || mid === null) return null;
  if (sctpPort === null || sctpPort === 0 || maxMessageSize === null || fingerprint === null) return null;
  return { ufrag, password, setup, mid, sctpPort, maxMessageSize, fingerprint };
}

/** A whole description with these values and nothing else. */
export function emitSdp(description: DataDescription): string {
  const { ufrag, password, setup, mid, sctpPort, maxMessageSize, fingerprint } = description;
  return [
    'v=0',
    'o=- 1 1 IN IP4 0.0.0.0',
    's=-',
    't=0 0',
    `a=group:BUNDLE ${mid}`,
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
    'c=IN IP4 0.0.0.0',
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${password}`,
    'a=ice-options:trickle',
    `a=fingerprint:sha-256 ${formatFingerprint(fingerprint)}`,
    `a=setup:${setup}`,
    `a=mid:${mid}`,
    `a=sctp-port:${sctpPort}`,
    `a=max-message-size:${maxMessageSize}`,
    '',
  ].join('\r\n');
}

/** As it stands in descriptions and statistics: upper-case hexadecimal pairs joined by colons. */
export function formatFingerprint(fingerprint: Octets): string {
  return Array.from(fingerprint, (octet) => octet.toString(16).padStart(2, '0').toUpperCase()).join(':');
}

/** Attributes that are read, at either level: the values each has, repetitions of the same value counted once. */
const READ = ['ice-ufrag', 'ice-pwd', 'setup', 'mid', 'sctp-port', 'max-message-size', 'fingerprint'] as const;
type Attribute = (typeof READ)[number];
type Values = ReadonlyMap<Attribute, ReadonlySet<string>>;

function collect(text: string): Values | null {
  const values = new Map<Attribute, Set<string>>();
  let sections = 0;
  const lines = text.split(/\r?\n/);
  if (lines.pop() !== '' || lines[0] !== 'v=0') return null;
  for (const line of lines) {
    if (!/^[a-z]=[^\r\0]*$/.test(line)) return null;
    if (line.startsWith('m=')) {
      sections++;
      if (!/^m=application [0-9]{1,5} (?:UDP|TCP)\/DTLS\/SCTP webrtc-datachannel$/.test(line)) return null;
    }
    // Matched without regard to case: browsers might, so a differently written second fingerprint must not slip by.
    const match = /^a=([^:]+):\s*(.*?)\s*$/.exec(line);
    const name = match?.[1]?.trim().toLowerCase() as Attribute | undefined;
    if (match === null || name === undefined || !READ.includes(name)) continue;
    const value = name === 'fingerprint' ? (match[2] ?? '').toLowerCase() : (match[2] ?? '');
    const known = values.get(name);
    if (known === undefined) values.set(name, new Set([value]));
    else known.add(value);
  }
  return sections === 1 ? values : null;
}

/** The only value of an attribute. */
function one(values: Values, name: Attribute, grammar: RegExp): string | null {
  const all = values.get(name);
  if (all === undefined || all.size !== 1) return null;
  const [value = ''] = all;
  return grammar.test(value) ? value : null;
}

function number(values: Values, name: Attribute, absent: number, max: number): number | null {
  if (!values.has(name)) return absent;
  const digits = one(values, name, /^[0-9]{1,10}$/);
  return digits === null || Number(digits) > max ? null : Number(digits);
}

function parseFingerprint(value: string | null): Octets | null {
  const match = /^sha-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})$/.exec(value ?? '');
  if (match?.[1] === undefined) return null;
  return Uint8Array.from(match[1].split(':'), (pair) => Number.parseInt(pair, 16));
}
