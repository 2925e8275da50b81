import { enter, find, hue, inWords, make, self, short, showPeople } from './room.js';

/** Lines that stay on the page. */
const LINES = 500;

// The operator speaks in this one.
const room = await enter('terminal');
room.on('message', (value, from) => say(from, typeof value === 'string' ? value : JSON.stringify(value)));
room.on('joined', ({ id }) => note(`${short(id)} came in`));
room.on('left', ({ id }) => note(`${short(id)} left`));
room.on('missed', () => note('some lines were missed'));
room.on('closed', () => open(false));
showPeople(room, find('people'));
note('What you write is printed in the operator’s terminal.');
open(true);

find('say-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = find('say').value.trim();
  if (text === '') return;
  try {
    room.send(text);
  } catch (error) {
    return note(inWords(error));
  }
  find('say').value = '';
  say(self.id, text);
});

function say(from, text) {
  // Nobody but the server has this name.
  const operator = from === 'server';
  const by = make('span', { className: 'by', textContent: operator ? 'operator' : short(from), title: from });
  by.style.setProperty('--hue', hue(from));
  const at = make('span', { className: 'at', textContent: `${new Date().toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', hour12: false })} ` });
  append(make('li', { className: operator ? 'operator' : '' }, at, by, ` ${text}`));
}

function note(text) {
  append(make('li', { className: 'note', textContent: `# ${text}` }));
}

function append(line) {
  const log = find('log');
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  log.append(line);
  while (log.children.length > LINES) log.firstChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function open(is) {
  for (const element of find('say-form').elements) element.disabled = !is;
  if (is) find('say').focus({ preventScroll: true });
}
