/**
 * The one session description that exists here: a single section that carries data channels (RFC 8841). What is received is read by a strict grammar, what is
 * applied is written from scratch, so nothing of a received text reaches the browser but the values below.
 */
import { cleanCandidate } from './candidate.js';

type Octets = Uint8Array<ArrayBuffer>;

/** Longest description, in characters. Browsers write about 500 for a data connection. */
export const MAX_SDP = 16 * 1024;
/** Most lines of a description. */
const MAX_LINES = 256;
/** Most candidates read from a description; further ones are dropped. */
const MAX_CANDIDATES = 64;
const U64_MAX = 2n ** 64n - 1n;

/** Who sends the first DTLS message (RFC 8842 section 4.1). */
export type Setup = 'actpass' | 'active' | 'passive';

export interface DataDescription {
  /** 4 to 256 ice-chars. */
  readonly iceUfrag: string;
  /** 22 to 256 ice-chars. */
  readonly icePwd: string;
  readonly iceLite: boolean;
  /** Whether the sender takes and sends candidates afterwards. */
  readonly trickle: boolean;
  readonly setup: Setup;
  /** The media section's name: candidates are given with it. */
  readonly mid: string;
  readonly sctpPort: number;
  /** Largest message that the sender takes, in octets; 0 means any. */
  readonly maxMessageSize: bigint;
  /** SHA-256, the one distinct fingerprint of the text. It came by the server: it is worth nothing before it is compared with a signed one. */
  readonly fingerprint: Octets;
  readonly candidates: readonly string[];
}

/** `null` when the text is no such description; in particular with two distinct fingerprints, at whatever level, or one that is not SHA-256. */
export function parseSdp(text: string): DataDescription | null {
  const lines = (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n');
  if (text.length > MAX_SDP || lines.length > MAX_LINES) return null;
  const found = new Found();
  for (const [index, line] of lines.entries()) {
    if (!found.line(index, line.endsWith('\r') ? line.slice(0, -1) : line)) return null;
  }
  return found.finish();
}

/** A description with the values read, without candidates. `fingerprint` is the verified one. */
export function emitSdp(description: DataDescription, fingerprint: Octets, setup: Setup): string {
  const { iceUfrag, icePwd, iceLite, trickle, mid, sctpPort, maxMessageSize } = description;
  return [
    'v=0',
    'o=- 1 1 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    `a=group:BUNDLE ${mid}`,
    ...(iceLite ? ['a=ice-lite'] : []),
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
    'c=IN IP4 0.0.0.0',
    `a=ice-ufrag:${iceUfrag}`,
    `a=ice-pwd:${icePwd}`,
    ...(trickle ? ['a=ice-options:trickle'] : []),
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

/** Attributes with a value that may stand at both levels, if it is the same one. */
const GRAMMAR: Readonly<Record<string, RegExp>> = {
  // Another hash than SHA-256 is refused, not skipped: whoever reads the text otherwise must not see another fingerprint than we do.
  fingerprint: /^sha-256 (?:[0-9a-f]{2}:){31}[0-9a-f]{2}$/i,
  'ice-ufrag': /^[A-Za-z0-9+/]{4,256}$/,
  'ice-pwd': /^[A-Za-z0-9+/]{22,256}$/,
  setup: /^(?:actpass|active|passive)$/,
  // A token of RFC 8866, without the characters that nobody puts into a name; Chromium takes at most 16.
  mid: /^[A-Za-z0-9._+-]{1,16}$/,
  'sctp-port': /^[0-9]{1,20}$/,
  'max-message-size': /^[0-9]{1,20}$/,
};

class Found {
  readonly #values = new Map<string, string>();
  readonly #candidates: string[] = [];
  #inMedia = false;
  #iceLite = false;
  #trickle = false;

  line(index: number, line: string): boolean {
    if (!/^[a-z]=[^\p{Cc}]*$/u.test(line) || (index === 0) !== (line === 'v=0')) return false;
    const value = line.slice(2);
    if (line.startsWith('m=')) return this.#media(value);
    return line.startsWith('a=') ? this.#attribute(value) : true;
  }

  finish(): DataDescription | null {
    const [iceUfrag, icePwd, setup, mid, print] = ['ice-ufrag', 'ice-pwd', 'setup', 'mid', 'fingerprint'].map((name) => this.#values.get(name));
    if (!this.#inMedia || iceUfrag === undefined || icePwd === undefined || setup === undefined || mid === undefined || print === undefined) return null;
    const port = this.#values.get('sctp-port');
    if (port === undefined) return null;
    return {
      iceUfrag,
      icePwd,
      iceLite: this.#iceLite,
      trickle: this.#trickle,
      setup: setup as Setup,
      mid,
      sctpPort: Number(port),
      // RFC 8841 section 6.1.
      maxMessageSize: BigInt(this.#values.get('max-message-size') ?? 65_536),
      fingerprint: Uint8Array.from(print.slice('sha-256 '.length).split(':'), (pair) => Number.parseInt(pair, 16)),
      candidates: this.#candidates,
    };
  }

  #media(value: string): boolean {
    // Port 0 is a section that the sender refuses (RFC 8866 section 5.14).
    const port = /^application ([0-9]{1,20}) (?:UDP|TCP)\/DTLS\/SCTP webrtc-datachannel$/.exec(value)?.[1];
    if (this.#inMedia || port === undefined || Number(port) < 1 || Number(port) > 65_535) return false;
    this.#inMedia = true;
    return true;
  }

  #attribute(attribute: string): boolean {
    const colon = attribute.indexOf(':');
    const name = colon < 0 ? attribute : attribute.slice(0, colon);
    const value = colon < 0 ? '' : attribute.slice(colon + 1);
    if (name === 'ice-lite') this.#iceLite = true;
    if (name === 'ice-options') this.#trickle ||= value.split(' ').includes('trickle');
    if (name === 'candidate' && this.#candidates.length < MAX_CANDIDATES) {
      const candidate = cleanCandidate(attribute);
      if (candidate !== null) this.#candidates.push(candidate);
    }
    return Object.hasOwn(GRAMMAR, name) ? this.#once(name, value) : true;
  }

  /** Keeps a value; the same one again, at session and media level, is no contradiction. */
  #once(name: string, text: string): boolean {
    if (GRAMMAR[name]?.test(text) !== true) return false;
    const value = canonical(name, text);
    const known = this.#values.get(name);
    if (value === null || (known !== undefined && known !== value)) return false;
    this.#values.set(name, value);
    return true;
  }
}

/** One text for one value; `null` for a number out of range. */
function canonical(name: string, text: string): string | null {
  if (name === 'fingerprint') return text.toLowerCase();
  if (name !== 'sctp-port' && name !== 'max-message-size') return text;
  const number = BigInt(text);
  const fits = name === 'sctp-port' ? number >= 1n && number <= 65_535n : number <= U64_MAX;
  return fits ? String(number) : null;
}
