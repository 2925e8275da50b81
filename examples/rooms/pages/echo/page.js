import { enter, find, hue, make, roomInAddress, self, showPeople } from './room.js';

/** Times that count for the table, and lines that are kept. */
const KEPT = 100;
/** Other pages that are asked for their answer: a member may not say more than some hundred things a second. */
const ASKED = 5;
/** Bars that are shown. */
const BARS = 60;

const room = await enter(roomInAddress('echo'));
addEventListener('hashchange', () => location.reload());

// The server's handler sends an `echo` back to who sent it, and to nobody else.
const sent = new Map();
room.on('echo', ({ n, text }, from) => {
  const began = sent.get(n);
  if (from !== 'server' || began === undefined) return;
  sent.delete(n);
  const time = performance.now() - began;
  keep('server', time);
  write(text, time);
});
// What a handler returns is its acknowledgement.
room.on('ping', (n) => n);
room.on('left', ({ id }) => times.delete(id));
room.on('closed', () => open(false));
showPeople(room, find('people'));
open(true);

let n = 0;

function send(text) {
  n += 1;
  sent.set(n, performance.now());
  if (sent.size > 1_000) sent.delete(sent.keys().next().value);
  room.emit('echo', { n, text }, { to: 'server' });
  for (const id of [...room.members.keys()].filter((id) => id !== self.id).slice(0, ASKED)) {
    const began = performance.now();
    // Who leaves meanwhile does not answer.
    room.emitWithAck('ping', n, { to: id }).then(() => keep(id, performance.now() - began), () => {});
  }
}

find('say-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = find('say').value.trim();
  if (text === '') return;
  send(text);
  find('say').value = '';
});

find('many').addEventListener('click', async () => {
  find('many').disabled = true;
  for (let at = 1; at <= 50 && room.state === 'joined'; at++) {
    send(`${at} of 50`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  find('many').disabled = room.state === 'closed';
});

/** By who answered: how long the last ones took, and how many there were. */
const times = new Map();

function keep(id, time) {
  if (!times.has(id)) times.set(id, { last: [], count: 0 });
  const its = times.get(id);
  its.last = [...its.last, time].slice(-KEPT);
  its.count += 1;
  find('bars').append(bar(id, time));
  while (find('bars').children.length > BARS) find('bars').firstChild.remove();
  const highest = Math.max(...[...find('bars').children].map((one) => Number(one.dataset.time)));
  find('highest').textContent = ms(highest);
  for (const one of find('bars').children) one.style.height = `${Math.max(3, (100 * one.dataset.time) / highest)}%`;
  find('times').replaceChildren(...[...times].map(([id, { last, count }]) => {
    const sorted = [...last].sort((a, b) => a - b);
    const cells = [last.at(-1), sorted[Math.floor(sorted.length / 2)], sorted.at(-1)].map((time) => make('td', { textContent: ms(time) }));
    return make('tr', { data: { id } }, make('td', { title: id }, mark(id), id === 'server' ? 'the server' : id), ...cells, make('td', { textContent: count }));
  }));
}

function write(text, time) {
  find('log').prepend(make('li', {}, make('span', { className: 'text', textContent: text }), make('span', { className: 'time', textContent: ms(time) })));
  while (find('log').children.length > KEPT) find('log').lastChild.remove();
}

function bar(id, time) {
  const element = make('i', { className: id === 'server' ? 'server' : '', title: `${id}: ${ms(time)}`, data: { time } });
  element.style.setProperty('--hue', hue(id));
  return element;
}

function mark(id) {
  const element = make('span', { className: id === 'server' ? 'mark server' : 'mark' });
  element.style.setProperty('--hue', hue(id));
  return element;
}

function ms(time) {
  return `${time.toFixed(1)} ms`;
}

function open(is) {
  for (const element of find('say-form').elements) element.disabled = !is;
  if (is) find('say').focus({ preventScroll: true });
}
