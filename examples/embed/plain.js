// The page without a bundler: `peerage.global.js` before this defines `Peerage`. `src/main.ts` is the same with types.

const { connectPeer, PeerageError } = Peerage;
const find = (id) => document.getElementById(id);

let device = null;
let page = 0;

find('connect').addEventListener('submit', (event) => {
  event.preventDefault();
  connect(find('link').value.trim()).catch(complain);
});
find('older').addEventListener('click', () => showOlder().catch(complain));

async function connect(text) {
  device?.close();
  device = connectPeer(text, { onState: (state) => tell(state) });
  page = 0;
  find('timeline').replaceChildren();
  await showOlder();
  await watch();
}

/** A JSON list, and an image for each of it. */
async function showOlder() {
  const { pages, events } = await (await get(`/api/timeline?page=${++page}`)).json();
  find('older').disabled = page >= pages;
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
async function watch() {
  const abort = new AbortController();
  const stop = find('stop');
  stop.textContent = 'Stop';
  stop.disabled = false;
  stop.onclick = () => abort.abort();
  try {
    const response = await get('/api/live', abort.signal);
    let text = '';
    for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      const events = (text + value).split('\n\n');
      text = events.pop();
      for (const event of events) await showFrame(JSON.parse(event.replace(/^data: /, '')));
    }
  } catch (error) {
    if (!abort.signal.aborted) throw error;
  } finally {
    stop.textContent = 'Watch';
    stop.onclick = () => watch().catch(complain);
  }
}

async function showFrame({ n, at, motion, image }) {
  await showImage(find('frame'), image);
  find('count').textContent = n;
  find('time').textContent = new Date(at).toLocaleTimeString();
  find('motion').value = motion;
}

/** An `<img>` cannot be told to use a link, but it can show a blob. */
async function showImage(picture, path) {
  const old = picture.src;
  picture.src = URL.createObjectURL(await (await get(path)).blob());
  if (old.startsWith('blob:')) URL.revokeObjectURL(old);
}

async function get(path, signal) {
  const response = await device.fetch(path, signal ? { signal } : {});
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response;
}

function tell(state, words = state) {
  find('status').dataset.is = state;
  find('status').textContent = words;
}

function complain(error) {
  // What the link has to say is the cause of what `fetch` has to say.
  tell('failed', error.cause instanceof PeerageError ? error.cause.message : error.message);
}

// For bookmarks: page.html#LINK
if (location.hash.length > 1) {
  find('link').value = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
  connect(find('link').value).catch(complain);
}
