/** The page with a bundler and types. `plain.js` is the same without. */
import { connectPeer, PeerageError, type Peer } from 'peerage';

interface Seen {
  readonly id: number;
  readonly at: string;
  readonly what: string;
  readonly confidence: number;
  readonly image: string;
}

interface Frame {
  readonly n: number;
  readonly at: string;
  readonly motion: number;
  readonly image: string;
}

const find = <T extends Element = HTMLElement>(id: string): T => document.querySelector<T>(`#${id}`)!;
const link = find<HTMLInputElement>('link');
const older = find<HTMLButtonElement>('older');
const stop = find<HTMLButtonElement>('stop');

let device: Peer | null = null;
let page = 0;

find<HTMLFormElement>('connect').addEventListener('submit', (event) => {
  event.preventDefault();
  connect(link.value.trim()).catch(complain);
});
older.addEventListener('click', () => void showOlder().catch(complain));

async function connect(text: string): Promise<void> {
  device?.close();
  device = connectPeer(text, { onState: (state) => tell(state) });
  page = 0;
  find('timeline').replaceChildren();
  await showOlder();
  await watch();
}

/** A JSON list, and an image for each of it. */
async function showOlder(): Promise<void> {
  const { pages, events } = await json<{ pages: number; events: Seen[] }>(`/api/timeline?page=${++page}`);
  older.disabled = page >= pages;
  for (const { at, what, confidence, image } of events) {
    const item = document.createElement('li');
    const words = document.createElement('p');
    const when = document.createElement('span');
    when.textContent = `${new Date(at).toLocaleTimeString()} · ${Math.round(confidence * 100)} %`;
    words.append(what, when);
    const picture = new Image();
    picture.alt = what;
    item.append(picture, words);
    find('timeline').append(item);
    await showImage(picture, image);
  }
}

/** The feed, until `stop`: server-sent events, read as they come. */
async function watch(): Promise<void> {
  const abort = new AbortController();
  stop.textContent = 'Stop';
  stop.disabled = false;
  stop.onclick = () => abort.abort();
  try {
    const response = await get('/api/live', abort.signal);
    let text = '';
    for (const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      const events = (text + value).split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) await showFrame(JSON.parse(event.replace(/^data: /, '')) as Frame);
    }
  } catch (error) {
    if (!abort.signal.aborted) throw error;
  } finally {
    stop.textContent = 'Watch';
    stop.onclick = () => void watch().catch(complain);
  }
}

async function showFrame({ n, at, motion, image }: Frame): Promise<void> {
  await showImage(find<HTMLImageElement>('frame'), image);
  find('count').textContent = String(n);
  find('time').textContent = new Date(at).toLocaleTimeString();
  find<HTMLMeterElement>('motion').value = motion;
}

/** An `<img>` cannot be told to use a link, but it can show a blob. */
async function showImage(picture: HTMLImageElement, path: string): Promise<void> {
  const old = picture.src;
  picture.src = URL.createObjectURL(await (await get(path)).blob());
  if (old.startsWith('blob:')) URL.revokeObjectURL(old);
}

async function json<T>(path: string): Promise<T> {
  return (await (await get(path)).json()) as T;
}

async function get(path: string, signal?: AbortSignal): Promise<Response> {
  if (device === null) throw new Error('not connected');
  const response = await device.fetch(path, signal ? { signal } : {});
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response;
}

function tell(state: string, words = state): void {
  find('status').dataset['is'] = state;
  find('status').textContent = words;
}

function complain(error: unknown): void {
  // What the link has to say is the cause of what `fetch` has to say.
  const cause = error instanceof TypeError && error.cause instanceof PeerageError ? error.cause : error;
  tell('failed', cause instanceof Error ? cause.message : String(cause));
}

// For bookmarks: page.html#LINK
if (location.hash.length > 1) {
  link.value = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
  connect(link.value).catch(complain);
}
