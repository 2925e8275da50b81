/**
 * Proofs of links that were opened and have not let this browser in yet. They outlive a reload, and whichever tab makes the link uses
 * them. A proof can be used and not read (`LinkProof`); it is dropped as soon as the device has answered, either way.
 */
import type { LinkProof } from '../identity/proof.js';

const DATABASE = 'peerage-pending';
const STORE = 'proofs';
/** Someone who opens many links to a device that is off: the last few count. */
const MOST = 8;

export async function addPending(proof: LinkProof): Promise<void> {
  await inStore('readwrite', async (store) => {
    const keys = await result(store.getAllKeys());
    for (const key of keys.slice(0, Math.max(0, keys.length + 1 - MOST))) store.delete(key);
    store.add(proof);
  });
}

/** The proof added last. */
export function lastPending(): Promise<LinkProof | null> {
  return inStore('readonly', async (store) => ((await result(store.getAll())) as LinkProof[]).at(-1) ?? null);
}

/** Forgets every proof of the same link. */
export async function dropPending(proof: LinkProof): Promise<void> {
  await inStore('readwrite', async (store) => {
    const [keys, proofs] = await Promise.all([result(store.getAllKeys()), result(store.getAll()) as Promise<LinkProof[]>]);
    keys.forEach((key, at) => {
      if (String(proofs[at]?.kid) === String(proof.kid)) store.delete(key);
    });
  });
}

async function inStore<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => Promise<T>): Promise<T> {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { autoIncrement: true });
  const database = await result(request);
  try {
    const transaction = database.transaction(STORE, mode);
    const durable = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    const [value] = await Promise.all([work(transaction.objectStore(STORE)), durable]);
    return value;
  } finally {
    database.close();
  }
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
