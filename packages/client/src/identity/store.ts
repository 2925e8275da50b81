/** What a browser remembers for an origin, in IndexedDB: its own key, and the devices that took it. Works in workers too. */
import { generateIdentity, type CallerIdentity } from './key.js';

const DATABASE = 'peerage';
const KEYS = 'keys';
const GRANTS = 'grants';
const CALLER = 'caller';

/** The lasting identity of this browser at this origin, made at the first call. Its private key never leaves WebCrypto. */
export async function loadIdentity(): Promise<CallerIdentity> {
  const known = await read<CallerIdentity>(KEYS, CALLER);
  if (known !== undefined) return known;
  const fresh = await generateIdentity();
  return withStore(KEYS, 'readwrite', async (keys) => {
    // Another tab may have been faster: the first key stored is the one.
    const first = (await done(keys.get(CALLER))) as CallerIdentity | undefined;
    if (first !== undefined) return first;
    await done(keys.put(fresh, CALLER));
    return fresh;
  });
}

/** Remembers that `device` knows this browser's key, so that later visits need no secret. */
export async function saveGrant(device: string): Promise<void> {
  await withStore(GRANTS, 'readwrite', (grants) => done(grants.put(Date.now(), device)));
}

/** Whether an earlier visit to `device` succeeded. The device may have revoked it since. */
export async function hasGrant(device: string): Promise<boolean> {
  return (await read<number>(GRANTS, device)) !== undefined;
}

function read<T>(store: string, key: string): Promise<T | undefined> {
  return withStore(store, 'readonly', (objects) => done(objects.get(key)) as Promise<T | undefined>);
}

/** One transaction; resolves when it is durable. */
async function withStore<T>(name: string, mode: IDBTransactionMode, work: (store: IDBObjectStore) => Promise<T>): Promise<T> {
  const database = await open();
  try {
    const transaction = database.transaction(name, mode);
    const complete = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    const [result] = await Promise.all([work(transaction.objectStore(name)), complete]);
    return result;
  } finally {
    database.close();
  }
}

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore(KEYS);
    request.result.createObjectStore(GRANTS);
  };
  return done(request);
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
