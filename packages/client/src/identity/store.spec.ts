import { IDBFactory } from 'fake-indexeddb';
import { beforeEach, expect, test, vi } from 'vitest';
import { sign, verify } from './key.js';
import { hasGrant, loadIdentity, saveGrant } from './store.js';

beforeEach(() => vi.stubGlobal('indexedDB', new IDBFactory()));

test('the identity is made once, and is the same ever after', async () => {
  const first = await loadIdentity();
  const later = await loadIdentity();
  expect(later.publicKey).toEqual(first.publicKey);
  expect(await verify(first.publicKey, await sign(later, Uint8Array.of(1)), Uint8Array.of(1))).toBe(true);
});

test('two tabs that begin at the same time get the same identity', async () => {
  const [one, other] = await Promise.all([loadIdentity(), loadIdentity()]);
  expect(one.publicKey).toEqual(other.publicKey);
});

test('the private key cannot be read', async () => {
  const { privateKey } = await loadIdentity();
  expect(privateKey.extractable).toBe(false);
  await expect(crypto.subtle.exportKey('pkcs8', privateKey)).rejects.toThrow();
});

test('a grant is remembered for its device alone', async () => {
  await saveGrant('one');
  expect([await hasGrant('one'), await hasGrant('other')]).toEqual([true, false]);
});
