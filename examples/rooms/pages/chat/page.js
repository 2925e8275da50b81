import { enter, face, fetchJson, find, hue, inWords, make, roomInAddress, self, short, showPeople, tellState } from './room.js';

const ROOMS = ['lobby', 'garden', 'workshop'];
const OPENED = 'peerage-chat-rooms';
/** Lines of one room that stay on the page. */
const LINES = 500;
/** How long one line of typing is shown, and how often it is said. */
const TYPING = 3_000;

/** By name, those that are listed: `list`. Those that were joined have a `room`. */
const rooms = new Map();
let current;

for (const name of ROOMS) list(name);
visit(roomInAddress(ROOMS[0]));
// Those that were open before a reload.
for (const name of JSON.parse(sessionStorage.getItem(OPENED) ?? '[]')) open(list(name));
addEventListener('hashchange', () => visit(roomInAddress(ROOMS[0])));

/** An entry among the rooms. */
function list(name) {
  if (rooms.has(name)) return rooms.get(name);
  const link = make('a', { href: `#${encodeURIComponent(name)}` }, make('span', { className: 'room', textContent: name }), make('span', { className: 'unread' }));
  find('rooms').append(make('li', {}, link));
  const entry = { name, link, log: make('ol', { className: 'log', role: 'log', ariaLabel: name }), people: make('ul', { className: 'people' }), typing: new Map(), unread: 0, last: null, waiting: null, unsaid: [], asked: 0, opened: null, room: null };
  rooms.set(name, entry);
  return entry;
}

/** Shows a room, and joins it if that has not been done. The others go on, and count what is not read. */
async function visit(name) {
  const entry = list(name);
  if (current) current.link.removeAttribute('aria-current');
  current = entry;
  entry.link.setAttribute('aria-current', 'page');
  entry.link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  count(entry, 0);
  find('title').textContent = `# ${name}`;
  document.title = `${name} · Chat`;
  find('logs').replaceChildren(entry.log);
  find('peoples').replaceChildren(entry.people);
  entry.log.scrollTop = entry.log.scrollHeight;
  showTyping();
  ready();
  if (entry.room) tellState(entry.room);
  else await open(entry);
}

/** Joins a room, if that has not been done, or was in vain. */
function open(entry) {
  entry.opened ??= join(entry).then(ready, () => { entry.opened = null; });
  return entry.opened;
}

async function join(entry) {
  const { name } = entry;
  const room = await enter(name, {}, () => entry === current);
  entry.room = room;
  entry.link.dataset.joined = '';
  sessionStorage.setItem(OPENED, JSON.stringify([...rooms.values()].filter(({ room }) => room).map(({ name }) => name)));
  showPeople(room, entry.people);

  entry.waiting = [];
  room.on('message', (value, from) => said(entry, { from, text: typeof value === 'string' ? value : JSON.stringify(value) }));
  room.on('joined', ({ id }) => note(entry, `${short(id)} came in`));
  room.on('left', ({ id }, reason) => note(entry, `${short(id)} ${reason === 'lost' ? 'lost the connection' : 'left'}`));
  room.on('host', (id) => id && note(entry, `${id === room.id ? 'You are' : `${short(id)} is`} the host now`));
  room.on('typing', (_, from) => type(entry, from));
  room.on('moderated', (verdict, from) => from === 'server' && judge(entry, verdict));
  room.on('missed', () => catchUp(entry));
  room.on('closed', ready);
  // After `missed`, which comes at once if it comes.
  room.on('state', () => room.state === 'joined' && setTimeout(() => {
    for (const line of entry.log.querySelectorAll('[data-waits]')) delete line.dataset.waits;
    for (const line of entry.waiting ?? []) line.waits = false;
  }));
  await catchUp(entry);
}

/** What is said in a room. While its history is fetched it waits for that. */
function said(entry, line) {
  if (entry !== current) count(entry, entry.unread + 1);
  entry.typing.delete(line.from);
  showTyping();
  show(entry, line);
}

function show(entry, line) {
  if (!entry.waiting) return write(entry, line);
  entry.waiting.push(line);
  if (entry.waiting.length > LINES) entry.waiting.shift();
}

/** Shows the history, and then what came meanwhile and what we wrote while there was no connection. */
async function catchUp(entry) {
  const asked = ++entry.asked;
  if (!entry.waiting) {
    entry.unsaid = [...entry.log.querySelectorAll('[data-waits]')];
    entry.waiting = entry.unsaid.map((line) => ({ from: self.id, text: line.querySelector('.text').textContent }));
  }
  const history = await fetchJson(`history/${encodeURIComponent(entry.name)}`).catch(() => null);
  // Asked again meanwhile: that answer is the newer one.
  if (asked !== entry.asked) return;
  const waiting = entry.waiting;
  entry.waiting = null;
  if (history === null) notFetched(entry);
  else entry.log.replaceChildren();
  for (const line of entry.unsaid.splice(0)) line.remove();
  entry.last = null;
  for (const line of history ?? []) write(entry, line);
  // Some of what came meanwhile may have come into the history as well.
  const known = (history ?? []).slice(-waiting.length - 20).map(({ from, text }) => `${from}\n${text}`);
  for (const line of waiting) {
    const at = known.indexOf(`${line.from}\n${line.text}`);
    if (at === -1) write(entry, line);
    else known.splice(at, 1);
  }
  if (history?.length === 0 && entry.last === null) note(entry, 'Nothing has been said here yet.');
}

function write(entry, { from, text, at: ms = Date.now(), waits = false, verdict }) {
  const at = new Date(ms);
  const day = at.toDateString();
  if (entry.last?.day !== day) append(entry, make('li', { className: 'note day', textContent: day === new Date().toDateString() ? 'Today' : at.toLocaleDateString(undefined, { dateStyle: 'medium' }) }));
  const more = entry.last?.from === from && entry.last.day === day && at - entry.last.at < 300_000;
  const by = make('span', { className: 'by', textContent: from === 'server' ? 'the server' : short(from), title: from });
  by.style.setProperty('--hue', hue(from));
  const element = make('li', { className: more ? 'line more' : 'line', data: { by: from === self.id ? 'me' : 'other', ...(waits && { waits: '' }) } },
    make('p', { className: 'head' }, by, ` ${at.toLocaleTimeString(undefined, { timeStyle: 'short' })}`),
    face(from),
    make('p', { className: 'text', textContent: text }));
  append(entry, element);
  entry.last = { from, at, day };
  if (verdict) mark(element, verdict);
}

function note(entry, text) {
  append(entry, make('li', { className: 'note', textContent: text }));
  if (entry.last) entry.last.from = null;
}

function notFetched(entry) {
  const again = make('button', { type: 'button', className: 'quiet', textContent: 'Try again' });
  const line = make('li', { className: 'note' }, 'What was said before could not be fetched. ', again);
  again.addEventListener('click', () => {
    line.remove();
    catchUp(entry);
  });
  append(entry, line);
}

/** At the end, which stays in view if it was. */
function append({ log }, element) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  log.append(element);
  while (log.children.length > LINES) log.firstChild.remove();
  if (atEnd || element.dataset.by === 'me') log.scrollTop = log.scrollHeight;
}

function count(entry, unread) {
  entry.unread = unread;
  entry.link.querySelector('.unread').textContent = unread === 0 ? '' : unread > 99 ? '99+' : unread;
}

/** What the server did with a line of ours before it came to the others. */
function judge(entry, verdict) {
  const waits = entry.waiting?.find(({ from, text }) => from === self.id && text === verdict.was);
  if (waits) return void Object.assign(waits, { verdict, text: verdict.now ?? verdict.was });
  const mine = [...entry.log.querySelectorAll('[data-by="me"]:not([data-judged])')].find((line) => line.querySelector('.text').textContent === verdict.was);
  if (mine) mark(mine, verdict);
  entry.log.scrollTop = entry.log.scrollHeight;
}

function mark(line, { now, why }) {
  line.dataset.judged = '';
  if (now === null) line.dataset.dropped = '';
  else line.querySelector('.text').textContent = now;
  line.append(make('p', { className: 'verdict', textContent: now === null ? `Not passed on: ${why}` : `Changed before it was passed on: ${why}` }));
}

function type(entry, from) {
  clearTimeout(entry.typing.get(from));
  entry.typing.set(from, setTimeout(() => {
    entry.typing.delete(from);
    showTyping();
  }, TYPING));
  showTyping();
}

function showTyping() {
  const names = [...current.typing.keys()];
  find('typing').textContent = names.length === 0 ? '' : names.length > 3 ? 'Several people are typing …' : `${names.map(short).join(' and ')} ${names.length === 1 ? 'is' : 'are'} typing …`;
}

/** Whether something can be said. */
function ready() {
  const open = current.room !== null && current.room.state !== 'closed';
  for (const element of find('say-form').elements) element.disabled = !open;
  if (open) find('say').focus({ preventScroll: true });
}

find('say-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = find('say').value.trim();
  if (text === '') return;
  const { room } = current;
  try {
    room.send(text);
  } catch (error) {
    return note(current, inWords(error));
  }
  find('say').value = '';
  show(current, { from: self.id, text, waits: room.state !== 'joined' });
  typed = 0;
});

let typed = 0;
find('say').addEventListener('input', () => {
  if (current.room?.state !== 'joined' || Date.now() - typed < TYPING - 1_000) return;
  typed = Date.now();
  current.room.emit('typing', null);
});

find('other-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = find('other').value.trim();
  if (name === '') return;
  find('other').value = '';
  location.hash = encodeURIComponent(name);
});

addEventListener('resize', () => {
  current.log.scrollTop = current.log.scrollHeight;
  current.link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
});
