// What the four pages share: who this tab is, who else is there, and how the connection is. `rooms.js` before this defines `Peerage`.

const KEPT = 'peerage-room-example';
/** Who is there is listed by name up to so many. */
const LISTED = 50;
/** Characters of a name where it stands among words. */
const LONG = 80;
/** How long the server may take to answer. */
const PATIENCE = 10_000;

export const find = (id) => document.getElementById(id);

/** An element. What is put in as a string becomes text, never HTML: what others say can do nothing here. */
export function make(tag, { data = {}, ...properties } = {}, ...inside) {
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  element.append(...inside);
  return element;
}

/** This tab: a reload keeps its name, and the token that proves that the name is its own. Another tab is somebody else. */
export const self = identify();

function identify() {
  const address = new URL(location.href);
  const asked = address.searchParams.get('name');
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? 'null');
  if (asked !== null) {
    address.searchParams.delete('name');
    history.replaceState(null, '', address);
  }
  return kept && (!asked || asked === kept.id) ? kept : keep(asked || invent());
}

function keep(id) {
  const token = Array.from(crypto.getRandomValues(new Uint8Array(16)), (octet) => octet.toString(16).padStart(2, '0')).join('');
  const kept = { id, token };
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
  return kept;
}

function invent() {
  const pick = (words) => words[Math.floor(Math.random() * words.length)];
  return `${pick(['Amber', 'Bold', 'Calm', 'Deft', 'Early', 'Fair', 'Gentle', 'Hazel', 'Ivory', 'Jolly', 'Keen', 'Lucid', 'Merry', 'Noble', 'Quick', 'Rosy'])} ${
    pick(['Badger', 'Crane', 'Deer', 'Egret', 'Finch', 'Gecko', 'Heron', 'Ibis', 'Jay', 'Koala', 'Lynx', 'Marten', 'Newt', 'Otter', 'Puffin', 'Quail'])}`;
}

/** The room that the page's address names behind its `#`. */
export function roomInAddress(otherwise) {
  try {
    return decodeURIComponent(location.hash.slice(1)) || otherwise;
  } catch {
    return otherwise;
  }
}

/** JSON that this example's server keeps. Another answer than that, or none for ten seconds, is an error. */
export async function fetchJson(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
}

/** Joins under this tab's name, and says on the page how the connection is, as long as `isShown`. */
export async function enter(name, options = {}, isShown = () => true) {
  if (isShown()) tell('joining', 'connecting …');
  try {
    const room = await Peerage.joinRoom(name, { ...options, ...self });
    const show = (error) => isShown() && tellState(room, error);
    room.on('state', () => show());
    room.on('closed', show);
    show();
    return room;
  } catch (error) {
    if (isShown()) tell('closed', inWords(error));
    if (error.code === 'name-taken') find('name').select();
    throw error;
  }
}

export function tellState({ state }, error = null) {
  const words = { joined: 'connected', reconnecting: 'reconnecting …', closed: error ? inWords(error) : 'left' };
  tell(state, words[state]);
}

function tell(is, words) {
  const status = find('status');
  status.dataset.is = is;
  status.textContent = words;
}

export function inWords({ code, message }) {
  const words = {
    'name-taken': `“${short(self.id)}” is somebody else here: choose another name.`,
    replaced: 'Another tab has taken over.',
    kicked: 'You were shown out.',
    'unreachable-server': 'The server does not answer.',
  };
  return words[code] ?? message;
}

/** Keeps a list of who is there: the host, who is marked, oneself, and as many others as there is place for. */
export function showPeople(room, list) {
  const entry = (id) => {
    const about = make('span', { className: 'about' });
    if (id === room.host) about.append(make('span', { className: 'host', textContent: 'host' }));
    if (id === room.id) about.append(make('span', { textContent: 'you' }));
    return make('li', { data: { id } }, face(id), make('span', { className: 'who' }, make('span', { className: 'name', textContent: id, title: id }), about));
  };
  const show = () => {
    const all = [...new Set([room.host, room.id, ...room.members.keys()])].filter((id) => room.members.has(id));
    list.replaceChildren(...all.slice(0, LISTED).map(entry));
    if (all.length > LISTED) list.append(make('li', { className: 'rest', textContent: `and ${all.length - LISTED} more` }));
  };
  for (const event of ['joined', 'left', 'host', 'state']) room.on(event, show);
  show();
}

/** A name among words: others may have very long ones. */
export function short(name) {
  const characters = [...name];
  return characters.length > LONG ? `${characters.slice(0, LONG - 1).join('')}…` : name;
}

/** Initials in the name's colour. */
export function face(name) {
  const initials = name.split(/\s+/).filter(Boolean).slice(0, 2).map((word) => [...word][0].toUpperCase()).join('');
  const element = make('span', { className: 'face', textContent: initials, ariaHidden: 'true' });
  element.style.setProperty('--hue', hue(name));
  return element;
}

/** The same for everybody who sees the name. */
export function hue(name) {
  let hash = 2_166_136_261;
  for (const character of name) hash = Math.imul(hash ^ character.codePointAt(0), 16_777_619);
  return (hash >>> 8) % 360;
}

// Another name is another member: the page begins anew with it.
find('name').value = self.id;
find('name').addEventListener('change', ({ target }) => {
  const name = target.value.trim();
  if (name === '' || name === self.id) return void (target.value = self.id);
  keep(name);
  location.reload();
});
