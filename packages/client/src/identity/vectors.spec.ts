/** `vectors/identity.json`: keys, secrets, signatures, and answers as a caller judges them: true ones, and every way to forge one. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import text from '../../../../vectors/identity.json?raw';
import { deviceIdFromDigest } from '../protocol/id.js';
import { emitSdp } from '../protocol/sdp.js';
import { parseAnswer } from '../protocol/signal.js';
import { importIdentity } from '../testing/identity.js';
import { hex, unhex } from '../testing/vectors.js';
import { SentOffer, type FalseAnswer, type Verdict } from './caller.js';
import { sha256, sign, verify } from './key.js';
import { mac, proofFromSecret } from './proof.js';

interface Vectors {
  readonly keys: readonly { readonly name: string; readonly id: string; readonly pkcs8Pem: string; readonly publicHex: string }[];
  readonly secrets: {
    readonly good: readonly { readonly secret: string; readonly device: string; readonly kidHex: string; readonly macOfTextStatementHex: string }[];
  };
  readonly signatures: readonly {
    readonly name: string;
    readonly good: boolean;
    readonly publicHex: string;
    readonly bytesHex: string;
    readonly signatureHex: string;
  }[];
  readonly offers: { readonly secret: string };
  readonly answers: {
    readonly device: string;
    readonly sent: { readonly statementBase64: string; readonly fields: Readonly<Record<string, string>>; readonly offerPayload: { readonly peerage: { readonly mac: string } } };
    readonly cases: readonly { readonly name: string; readonly src: string; readonly payload: unknown; readonly expect: Expected }[];
  };
}

interface Expected {
  readonly outcome: 'accepted' | 'refused' | 'tryAgain' | 'false';
  readonly remoteSdp?: string;
  readonly code?: string;
  readonly nonceHex?: string;
  readonly error?: string;
}

const vectors = JSON.parse(text) as Vectors;

/** What the Rust crate says, and the word for it here. */
const WHY: readonly (readonly [RegExp, FalseAnswer])[] = [
  [/another id$/, 'sender'],
  [/no statement/, 'unsigned'],
  [/somebody else/, 'wrong-key'],
  [/another `sdp`/, 'description'],
  [/for another `/, 'mismatch'],
  [/another offer/, 'replayed'],
  [/signature/, 'signature'],
  [/not the stated one/, 'fingerprint'],
  [/description/, 'description'],
];

afterEach(() => vi.restoreAllMocks());

test.each(vectors.keys)('the id of the $name is the hash of its key', async ({ id, publicHex }) => {
  expect(deviceIdFromDigest(await sha256(unhex(publicHex)))).toBe(id);
});

test.each(vectors.keys)('the $name signs so that others can verify', async ({ pkcs8Pem, publicHex }) => {
  const identity = await importIdentity(pkcs8Pem, unhex(publicHex));
  const signature = await sign(identity, unhex('00ff'));
  expect(signature).toHaveLength(64);
  expect(await verify(identity.publicKey, signature, unhex('00ff'))).toBe(true);
});

test.each(vectors.secrets.good)('kid and MAC come from the secret $secret for $device', async ({ secret, device, kidHex, macOfTextStatementHex }) => {
  const proof = await proofFromSecret(secret, device);
  expect(hex(proof.kid)).toBe(kidHex);
  expect(proof.key.extractable).toBe(false);
  expect(hex(await mac(proof, new TextEncoder().encode('statement')))).toBe(macOfTextStatementHex);
});

test.each(vectors.signatures)('signature $name: $good', async ({ good, publicHex, bytesHex, signatureHex }) => {
  expect(await verify(unhex(publicHex), unhex(signatureHex), unhex(bytesHex))).toBe(good);
});

describe('the caller', () => {
  test('states exactly the bytes that the Rust caller states, proven by the link', async () => {
    const { member } = await sentOffer();
    expect(member.statement).toBe(vectors.answers.sent.statementBase64);
    expect(member.mac).toBe(vectors.answers.sent.offerPayload.peerage.mac);
  });

  test.each(vectors.answers.cases)('judges an answer: $name', async ({ src, payload, expect: expected }) => {
    const answer = parseAnswer(payload);
    if (answer === null) throw new Error('an answer');
    expect(outcome(await (await sentOffer()).verify(src, answer))).toEqual(wanted(expected));
  });
});

/** The offer of the vectors: with its key, its nonce and its time. */
async function sentOffer(): Promise<SentOffer> {
  const { fields } = vectors.answers.sent;
  const key = vectors.keys.find(({ name }) => name === 'caller');
  if (key === undefined) throw new Error('a caller');
  const identity = await importIdentity(key.pkcs8Pem, unhex(key.publicHex));
  const proof = await proofFromSecret(vectors.offers.secret, vectors.answers.device);
  vi.spyOn(crypto, 'getRandomValues').mockImplementation((array) => {
    (array as Uint8Array).set(unhex(fields['nonceHex'] ?? ''));
    return array;
  });
  const call = {
    device: vectors.answers.device,
    from: fields['from'] ?? '',
    connection: fields['connection'] ?? '',
    label: fields['label'] ?? '',
    fingerprint: unhex(fields['fingerprintHex'] ?? ''),
  };
  return SentOffer.make(identity, call, proof, Number(fields['time']));
}

function outcome(verdict: Verdict): unknown {
  switch (verdict.type) {
    case 'accepted':
      return emitSdp(verdict.description, verdict.description.fingerprint, verdict.description.setup);
    case 'refused':
      return verdict.code;
    case 'try-again':
      return hex(verdict.nonce);
    case 'false':
      return { why: verdict.why };
  }
}

function wanted(expected: Expected): unknown {
  if (expected.outcome !== 'false') return expected.remoteSdp ?? expected.code ?? hex(unhex(expected.nonceHex ?? ''));
  return { why: WHY.find(([text]) => text.test(expected.error ?? ''))?.[1] };
}
