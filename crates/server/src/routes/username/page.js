// The page: four steps, one after the other, and in words whatever goes wrong. What others say is text here, never markup.

import { harmless } from './file.js';
import { Server } from './server.js';
import { settings } from './settings.js';
import { Talk } from './talk.js';

/** Calls that wait while we talk to somebody else, and candidates kept for each. */
const CALLS = 4;
const CANDIDATES = 64;
/** Entries that the log keeps. */
const LOG = 500;
/** Characters of a message that are shown. */
const SHOWN = 20_000;

const at = (id) => document.getElementById(id);
const steps = { server: at('server-step'), name: at('name-step'), peer: at('peer-step'), talk: at('talk-step') };

let config;
let connected = false;
/** Our name, when the server has confirmed it. */
let me = null;
/** @type {Talk | null} */
let talk = null;
/** Who calls while we talk: name, as JSON, to offer and candidates. */
const calls = new Map();

const server = new Server({ message: received, fault: refused, lost });

at('server-form').addEventListener('submit', (event) => {
    event.preventDefault();
    connect();
});
at('name-form').addEventListener('submit', (event) => {
    event.preventDefault();
    logIn(at('name').value.trim());
});
at('peer-form').addEventListener('submit', (event) => {
    event.preventDefault();
    call(at('peer').value.trim());
});
at('talk-form').addEventListener('submit', (event) => {
    event.preventDefault();
    say(at('text').value);
});
at('choose').addEventListener('click', () => at('file').click());
at('file').addEventListener('change', () => {
    for (const file of at('file').files) offer(file);
    at('file').value = '';
});
at('leave').addEventListener('click', () => {
    talk?.close();
    ended('You have hung up.');
});
// So that the other side knows at once, and not only when nothing comes any more.
addEventListener('pagehide', () => {
    talk?.close();
    server.close();
});

// What a browser kept of the page while it was away has neither server nor peer any more.
addEventListener('pageshow', ({ persisted }) => {
    if (persisted) location.reload();
});

begin();

async function begin() {
    show();
    try {
        config = await settings();
        at('server-url').textContent = config.url;
    } catch (error) {
        status('server', error.message, 'trouble');
    }
    show();
}

// 1. The server.

async function connect() {
    at('connect').disabled = true;
    status('server', 'Connecting …');
    try {
        await server.open(config.url);
        connected = true;
        status('server', 'Connected.', 'good');
        show();
        const before = at('name').value.trim();
        if (me !== null) {
            // Back after the connection was lost: as who we were.
            me = null;
            await logIn(before, ' If it was yours a moment ago, it is free again within a minute.');
        } else focus('name');
    } catch (error) {
        status('server', error.message, 'trouble');
        show();
    }
}

function lost() {
    connected = false;
    const rest = talk?.state === 'open' ? ' What you say to each other does not need it and goes on.' : '';
    status('server', `The connection to the server was lost.${rest}`, 'trouble');
    if (me !== null) status('name', 'Nobody can call you until you are connected again.');
    if (talk?.state === 'calling') {
        talk.close();
        ended('The connection to the server was lost.');
    }
    calls.clear();
    show();
}

// 2. A name.

async function logIn(name, consolation = '') {
    if (!name) return;
    enable('name', false);
    status('name', 'Asking for the name …');
    try {
        await server.logIn(name);
        me = name;
        at('name').value = name;
        status('name', `You are “${name}”.`, 'good');
        show();
        focus('peer');
    } catch (error) {
        if (connected) status('name', error.message + consolation, 'trouble');
        show();
        focus('name');
        at('name').select();
    }
}

// 3. A peer.

function call(name) {
    if (!name) return;
    if (name === me) return status('peer', 'That is your own name.', 'trouble');
    begun(name).call();
    status('peer', `Calling “${name}” …`);
    show();
}

/** Takes a call of somebody's; what was going on ends. */
function take(peer, { offer, candidates }) {
    const taken = begun(peer);
    status('peer', `“${peer}” calls …`);
    taken.answer(offer);
    for (const candidate of candidates) taken.candidate(candidate);
    show();
}

function begun(peer) {
    if (talk?.state === 'open') note(`You have left “${talk.peer}”.`);
    talk?.close();
    talk = null;
    calls.delete(JSON.stringify(peer));
    talk = new Talk(peer, config.iceServers, (action, data) => server.send(me, peer, action, data), {
        open() {
            status('peer', `Connected to “${peer}”.`, 'good');
            status('talk', 'The other page takes no files: it is an older one.');
            note(`You are connected to “${peer}”.`);
            show();
            focus('text');
        },
        files() {
            status('talk', '');
            at('choose').disabled = false;
        },
        text: (text) => said(String(peer), text),
        offered: (file) => offered(String(peer), file),
        ended: (words) => ended(words),
    });
    at('choose').disabled = true;
    return talk;
}

function ended(words) {
    const { peer } = talk;
    if (!at('more').disabled) note(`The talk with “${peer}” is over. ${words}`);
    talk = null;
    status('peer', words, 'trouble');
    status('talk', '');
    show();
    focus('peer');
}

function received({ from, action, data }) {
    const key = JSON.stringify(from);
    const current = talk && JSON.stringify(talk.peer) === key;
    if (action === 'offer') {
        // Both called at once: the call of the one whose name comes first counts.
        if (current && talk.state === 'calling' && String(me) < String(from)) return;
        const waits = { offer: data, candidates: [] };
        if (!talk || current) take(from, waits);
        else if (calls.has(key) || calls.size < CALLS) {
            calls.set(key, waits);
            showCalls();
        }
    } else if (action === 'answer') {
        if (current) talk.answered(data);
    } else if (action === 'candidate') {
        if (calls.has(key)) {
            const { candidates } = calls.get(key);
            if (candidates.length < CANDIDATES) candidates.push(data);
        } else if (current) talk.candidate(data);
    }
}

function refused(code, words, data) {
    if (code !== 'unknown-receiver') return status('peer', words, 'trouble');
    // A candidate may still be on its way when the other has gone: that does not end what works.
    if (talk?.state === 'calling' && talk.peer === data.to) {
        talk.close();
        ended(words);
    }
}

// 4. Words and files.

function say(text) {
    if (!text || talk?.state !== 'open') return;
    try {
        talk.say(text);
    } catch {
        return status('talk', 'This message could not be sent.', 'trouble');
    }
    said(null, text);
    at('text').value = '';
}

function offer(file) {
    if (talk?.state !== 'open') return;
    const entry = fileEntry(null, harmless(file.name), file.size);
    entry.state('Connecting …');
    talk.offer(file, {
        asked: () => entry.state('Waiting for the other side to accept …'),
        progress: (octets) => entry.progress(octets),
        ended(state) {
            entry.state({ sent: 'Sent.', declined: 'Declined.', broken: 'Did not get through.' }[state]);
            entry.done();
        },
    });
}

function offered(by, file) {
    const entry = fileEntry(by, file.name, file.size);
    entry.state('Offered to you.');
    let accepted = false;
    const accept = button('Accept', () => {
        entry.actions();
        entry.progress(0);
        accepted = true;
        file.accept();
    });
    const decline = button('Decline', () => {
        entry.state('Declined.');
        entry.done();
        file.decline();
    }, 'quiet');
    entry.actions(accept, decline);
    file.watch({
        progress: (octets) => entry.progress(octets),
        received(blob) {
            entry.state('Received.');
            entry.done();
            const save = Object.assign(document.createElement('a'), { className: 'save', download: file.name, href: URL.createObjectURL(blob), textContent: 'Save' });
            save.setAttribute('aria-label', `Save ${file.name}`);
            entry.actions(save);
        },
        broken() {
            entry.state(accepted ? 'Did not come whole.' : 'Withdrawn.');
            entry.done();
        },
    });
}

/** A file's entry in the log. */
function fileEntry(by, name, size) {
    const entry = bubble(by);
    entry.classList.add('file');
    const line = textElement('bdi', name);
    const state = textElement('span', '');
    state.className = 'state';
    const row = document.createElement('span');
    row.className = 'row';
    const bar = Object.assign(document.createElement('progress'), { max: Math.max(size, 1), value: 0, hidden: true });
    bar.setAttribute('aria-label', name);
    entry.append(line, ` (${readable(size)})`, state, bar, row);
    append(entry);
    return {
        state(words) {
            state.textContent = words;
        },
        progress(octets) {
            grown(() => { bar.hidden = false; });
            bar.value = octets;
            state.textContent = `${readable(octets)} of ${readable(size)}`;
        },
        actions: (...actions) => grown(() => row.replaceChildren(...actions)),
        done() {
            bar.hidden = true;
            row.replaceChildren();
        },
    };
}

function said(by, text) {
    const entry = bubble(by);
    const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)} …` : text;
    entry.append(textElement('span', shown));
    append(entry);
}

function note(words) {
    const entry = textElement('p', words);
    entry.className = 'note';
    append(entry);
}

/** @param {string | null} by null: ourselves; another may well be called “Me” */
function bubble(by) {
    const entry = document.createElement('p');
    entry.className = 'said';
    entry.dir = 'auto';
    entry.dataset.by = by === null ? 'me' : 'peer';
    const who = textElement('span', by ?? 'Me');
    who.className = 'by';
    entry.append(who);
    return entry;
}

function append(entry) {
    const log = at('log');
    grown(() => log.append(entry));
    while (log.children.length > LOG) forget(log.firstElementChild);
}

/** Makes the log longer; whoever looks at its end goes on doing so. */
function grown(grow) {
    const log = at('log');
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    grow();
    if (follows) log.scrollTop = log.scrollHeight;
}

function forget(entry) {
    const save = entry.querySelector('.save');
    if (save) URL.revokeObjectURL(save.href);
    entry.remove();
}

// What is shown.

/** Which step is the one to take now, and what can be used. */
function show() {
    const named = connected && me !== null;
    const open = talk?.state === 'open';
    mark('server', connected ? 'done' : 'now');
    mark('name', named ? 'done' : connected ? 'now' : undefined);
    mark('peer', open ? 'done' : named ? 'now' : undefined);
    mark('talk', open ? 'now' : undefined);
    at('connect').disabled = connected || !config;
    at('connect').textContent = me !== null && !connected ? 'Connect again' : 'Connect';
    enable('name', connected && !named);
    enable('peer', named && !talk);
    enable('talk', open);
    at('more').disabled = !open;
    at('talk-title').textContent = open ? `Send to “${talk.peer}”` : 'Send';
    showCalls();
}

function showCalls() {
    const entries = [...calls].map(([key, waiting]) => {
        const peer = JSON.parse(key);
        const entry = document.createElement('li');
        entry.append(textElement('span', `“${peer}” calls you.`), button('Answer', () => take(peer, waiting)), button('Ignore', () => {
            calls.delete(key);
            showCalls();
        }, 'quiet'));
        return entry;
    });
    at('calls').replaceChildren(...entries);
}

function mark(step, state) {
    if (state) steps[step].dataset.state = state;
    else delete steps[step].dataset.state;
    if (state === 'now') steps[step].setAttribute('aria-current', 'step');
    else steps[step].removeAttribute('aria-current');
}

function enable(step, enabled) {
    at(`${step}-form`).querySelector('fieldset').disabled = !enabled;
}

function status(step, words, kind) {
    const line = at(`${step}-status`);
    line.textContent = words;
    if (kind) line.dataset.kind = kind;
    else delete line.dataset.kind;
}

/** Goes on to the next field, unless the person is writing in one. */
function focus(id) {
    const active = document.activeElement;
    if (!active || active === document.body || active.matches(':disabled, button')) at(id).focus();
}

function button(words, press, kind = '') {
    const made = Object.assign(document.createElement('button'), { type: 'button', className: kind, textContent: words });
    made.addEventListener('click', press);
    return made;
}

function textElement(tag, words) {
    return Object.assign(document.createElement(tag), { textContent: words });
}

function readable(octets) {
    const units = ['bytes', 'kB', 'MB', 'GB'];
    const unit = octets < 1000 ? 0 : Math.min(Math.floor(Math.log10(octets) / 3), 3);
    const value = octets / 1000 ** unit;
    return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
