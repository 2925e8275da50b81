/**
 * Requests that cannot be answered yet: those with a body that navigate a whole tab (a form into a new tab), and those that wait for the person. Kept in
 * Cache Storage, where they outlive the worker, until the frame asks for their address.
 */
import type { Field } from '../../fetch/exchange.js';
import { OWN_PATH } from '../route.js';

export interface Kept {
  readonly method: string;
  readonly url: string;
  readonly referrer: string;
  readonly fields: readonly Field[];
  readonly body: Blob;
  /** The realm of a person who is asked to log in. */
  readonly realm?: string;
  /** The person will not log in: what is known is not to be sent, and nothing is to be asked again. */
  readonly plain?: boolean;
}

const CACHE = 'peerage-kept';
/** Longer than anyone looks at a question before answering it. */
const KEPT_MS = 10 * 60_000;
/** From the permission to the request of the frame there is one start of the shell, link included. */
const PERMITTED_MS = 60_000;

interface Note extends Omit<Kept, 'body'> {
  readonly since: number;
  readonly permitted?: number;
}

/** Stores a request and returns the name it can be permitted by, which nobody can guess. */
export async function keep({ body, ...request }: Kept): Promise<string> {
  await dropOld();
  const id = crypto.randomUUID();
  const url = new URL(request.url);
  url.hash = '';
  await store(id, { ...request, url: url.href, since: Date.now() }, body);
  return id;
}

export function keepable(request: Request, body: Blob): Kept {
  return { method: request.method, url: request.url, referrer: request.referrer, fields: [...request.headers], body };
}

/** From now on, the frame's next navigation to the kept request's address is that request. Null if there is none. */
export async function permit(id: string, plain = false): Promise<Omit<Kept, 'body'> | null> {
  const found = await load(id);
  if (found === null || Date.now() - found.note.since > KEPT_MS) return null;
  await store(id, { ...found.note, plain, permitted: Date.now() }, await found.response.blob());
  return found.note;
}

/** The permitted request for this address, which is thereby used up. */
export async function takeKept(address: string): Promise<Kept | null> {
  if (!(await caches.has(CACHE))) return null;
  const url = new URL(address);
  url.hash = '';
  const cache = await caches.open(CACHE);
  for (const key of await cache.keys()) {
    const response = await cache.match(key);
    const note = response && noteOf(response);
    if (!response || !note || note.url !== url.href || note.permitted === undefined) continue;
    await cache.delete(key);
    if (Date.now() - note.permitted > PERMITTED_MS) continue;
    const { since: _, permitted: __, ...taken } = note;
    return { ...taken, body: await response.blob() };
  }
  return null;
}

async function dropOld(): Promise<void> {
  const cache = await caches.open(CACHE);
  for (const key of await cache.keys()) {
    const response = await cache.match(key);
    if (!response || Date.now() - noteOf(response).since > KEPT_MS) await cache.delete(key);
  }
}

async function store(id: string, note: Note, body: Blob): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.put(key(id), new Response(body, { headers: { 'x-note': encodeURIComponent(JSON.stringify(note)) } }));
}

async function load(id: string): Promise<{ note: Note; response: Response } | null> {
  const response = await (await caches.open(CACHE)).match(key(id));
  return response ? { note: noteOf(response), response } : null;
}

function noteOf(response: Response): Note {
  return JSON.parse(decodeURIComponent(response.headers.get('x-note') ?? '')) as Note;
}

function key(id: string): string {
  return `${OWN_PATH}kept/${id}`;
}
