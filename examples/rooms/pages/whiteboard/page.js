import { enter, fetchJson, find, hue, make, roomInAddress, showPeople } from './room.js';

/** By their place here they go over the wire; the server knows how many there are. */
const COLOURS = [['black', '#1c2130'], ['red', '#d43d3d'], ['orange', '#e98a15'], ['green', '#2a9d5c'], ['blue', '#2f6fde'], ['violet', '#8347c4'], ['pink', '#e0559e'], ['eraser', '#fff']];
/** Widths of lines, in the board's own units: it is 1600 by 1200 on every screen. */
const SIZES = [4, 10, 24, 60];
/** What has been drawn, and where the pointer is, is said at most this often. */
const PACE = 33;
/** Points of one message. */
const POINTS = 120;

const canvas = find('canvas');
const paper = canvas.getContext('2d');
paper.lineCap = paper.lineJoin = 'round';

choices('colours', COLOURS.map(([name, colour], at) => [at, name, { '--colour': colour }]), 4);
choices('sizes', SIZES.map((size, at) => [at, `${size} wide`, { '--width': `${[0.3, 0.55, 0.95, 1.4][at]}rem` }]), 1);
const chosen = (kind) => Number(new FormData(find('tools')).get(kind));

const name = roomInAddress('whiteboard');
document.title = `${name} · Whiteboard`;
addEventListener('hashchange', () => location.reload());
const room = await enter(name, { unreliable: true });
showPeople(room, find('people'));
find('clear').disabled = false;

// A late joiner gets the picture from the server. What is drawn while it is fetched waits, and then goes on top of it: a line that is in both is no darker for it.
let waiting = null;
let asked = 0;
const drawn = (act) => (waiting ? waiting.push(act) : act());
room.on('draw', (line) => drawn(() => draw(line)));
room.on('clear', () => drawn(clear));
room.on('missed', fetchPicture);
find('again').addEventListener('click', fetchPicture);
fetchPicture();

async function fetchPicture() {
  const own = ++asked;
  waiting ??= [];
  const picture = await fetchJson(`picture/${encodeURIComponent(name)}`).catch(() => null);
  // Asked again meanwhile: that answer is the newer one.
  if (own !== asked) return;
  find('trouble').hidden = picture !== null;
  if (picture) clear();
  for (const line of picture ?? []) draw(line);
  for (const act of waiting) act();
  waiting = null;
}

function draw({ colour, size, points: [x, y, ...more] }) {
  paper.strokeStyle = colour === COLOURS.length - 1 ? '#fff' : COLOURS[colour][1];
  paper.globalCompositeOperation = colour === COLOURS.length - 1 ? 'destination-out' : 'source-over';
  paper.lineWidth = SIZES[size];
  paper.beginPath();
  paper.moveTo(x, y);
  // A point is a line to itself.
  if (more.length === 0) paper.lineTo(x, y);
  for (let at = 0; at < more.length; at += 2) paper.lineTo(more[at], more[at + 1]);
  paper.stroke();
}

function clear() {
  paper.clearRect(0, 0, canvas.width, canvas.height);
}

find('clear').addEventListener('click', () => {
  clear();
  room.emit('clear');
});

// ------------------------------------------------------------------------------------------------------------- own lines

/** By pointer, as a screen has ten of them: what has not been said yet, beginning where the last part ended. */
const pens = new Map();
let pointer = null;

canvas.addEventListener('pointerdown', (event) => {
  if (event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  pens.set(event.pointerId, { colour: chosen('colours'), size: chosen('sizes'), points: place(event), fresh: true });
  draw(pens.get(event.pointerId));
});

canvas.addEventListener('pointermove', (event) => {
  pointer = place(event);
  const pen = pens.get(event.pointerId);
  if (!pen) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) {
    const [x, y] = place(part);
    const last = pen.points.slice(-2);
    if (x === last[0] && y === last[1]) continue;
    draw({ ...pen, points: [...last, x, y] });
    pen.points.push(x, y);
    pen.fresh = true;
    if (pen.points.length >= 2 * POINTS) say(pen);
  }
});

for (const end of ['pointerup', 'pointercancel']) {
  canvas.addEventListener(end, ({ pointerId }) => {
    if (pens.has(pointerId)) say(pens.get(pointerId));
    pens.delete(pointerId);
  });
}

canvas.addEventListener('pointerleave', () => { pointer = null; });

let told = null;
setInterval(() => {
  for (const pen of pens.values()) say(pen);
  if (String(pointer) === String(told) || room.state !== 'joined') return;
  told = pointer;
  room.emit('cursor', pointer, { unreliable: true });
}, PACE);

function say(pen) {
  if (!pen.fresh || room.state === 'closed') return;
  room.emit('draw', { colour: pen.colour, size: pen.size, points: pen.points });
  pen.points = pen.points.slice(-2);
  pen.fresh = false;
}

/** Where it is on the board, whatever size it has here. */
function place({ clientX, clientY }) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const within = (value, most) => Math.min(most, Math.max(0, Math.round(value)));
  return [within(((clientX - left) / width) * canvas.width, canvas.width), within(((clientY - top) / height) * canvas.height, canvas.height)];
}

// ---------------------------------------------------------------------------------------------------------- others' cursors

const cursors = new Map();

room.on('cursor', (at, from) => {
  if (at === null) return void cursors.get(from)?.rest();
  if (!cursors.has(from)) cursors.set(from, cursor(from));
  cursors.get(from).move(at);
});

room.on('left', ({ id }) => {
  cursors.get(id)?.end();
  cursors.delete(id);
});

function cursor(from) {
  const element = make('div', { className: 'cursor', data: { from } }, make('span', { textContent: from }));
  element.style.setProperty('--hue', hue(from));
  find('cursors').append(element);
  let timer;
  const rest = () => { element.dataset.idle = ''; };
  return {
    rest,
    move([x, y]) {
      delete element.dataset.idle;
      element.toggleAttribute('data-flipped', x > 0.75 * canvas.width);
      element.style.left = `${(100 * x) / canvas.width}%`;
      element.style.top = `${(100 * y) / canvas.height}%`;
      clearTimeout(timer);
      timer = setTimeout(rest, 5_000);
    },
    end: () => element.remove(),
  };
}

function choices(kind, all, first) {
  find(kind).append(...all.map(([value, name, style]) => {
    const radio = make('input', { type: 'radio', name: kind, value, checked: value === first, className: 'aside', ariaLabel: name });
    const mark = make('span');
    for (const [property, set] of Object.entries(style)) mark.style.setProperty(property, set);
    return make('label', { className: 'choice', title: name }, radio, mark);
  }));
}
