/** How the page says in words what is happening: pure, one text for every state and every code. */
import type { Code } from '../error.js';
import type { LinkStatus } from './messages.js';

export interface Words {
  readonly title: string;
  /** What happened, in one or two sentences. */
  readonly why: string;
  /** What a person can do, the most likely to help first. */
  readonly remedies: readonly string[];
  /** Whether trying again without a change can help: then the page does so by itself. */
  readonly again: boolean;
}

const RELOAD = 'Reload the page.';
const NEW_LINK = 'Ask whoever gave you the link for a new one.';
const TELL_OWNER = 'Tell whoever runs the device.';
const UPDATE = 'Bring peerage on the device and on the server to the same release, then reload.';

const WORDS: Readonly<Record<Code, Words>> = {
  'bad-link': {
    title: 'This link is not complete',
    why: 'Part of it may have been lost when it was copied.',
    remedies: ['Copy the whole link again and open it.', NEW_LINK],
    again: false,
  },
  unsupported: {
    title: 'This browser cannot connect',
    why: 'It has no WebRTC, or a setting or an extension has switched it off.',
    remedies: ['Allow WebRTC for this site, or open the link in another browser.'],
    again: false,
  },
  'unreachable-server': {
    title: 'The server does not answer',
    why: 'It introduces this browser to the device. Without it no new connection can be made.',
    remedies: ['Check your internet connection.', 'If that works, the server is down for now: wait a little.'],
    again: true,
  },
  'peer-unavailable': {
    title: 'The device is not there',
    why: 'It is switched off, has no network, or nothing is exposed on it at the moment.',
    remedies: ['Switch the device on.', 'Run “peerage expose” on it.'],
    again: true,
  },
  'no-answer': {
    title: 'The device does not answer',
    why: 'It was called and stayed silent. It may be busy, or just losing its network.',
    remedies: ['Wait a little.', 'Restart “peerage expose” on the device.'],
    again: true,
  },
  denied: {
    title: 'The device does not let you in',
    why: 'The link has expired, was revoked, or was never one of this device.',
    remedies: ['Copy the whole link again and open it.', NEW_LINK],
    again: false,
  },
  stale: {
    title: 'The clocks do not agree',
    why: 'The device took this visit for an old one that somebody repeats.',
    remedies: ['Set date and time of this computer and of the device.', 'Try again.'],
    again: false,
  },
  busy: {
    title: 'The device is busy',
    why: 'It has no room for another visitor at the moment.',
    remedies: ['Wait a little.', 'Close the app where it is no longer needed.'],
    again: true,
  },
  'wrong-device': {
    title: 'Someone else answers for this device',
    why: 'Whoever answered could not prove to be the device. Nothing was sent to them.',
    remedies: [TELL_OWNER, 'Be careful with this network and this server until it is explained.'],
    again: false,
  },
  'no-route': {
    title: 'No path to the device was found',
    why: 'The device agreed to talk, but no packet came through. A firewall on either side is the usual reason.',
    remedies: [
      'If the browser asked whether this site may reach your local network, allow it.',
      'Switch a VPN off, or try another network.',
      'Ask whoever runs the server for a relay (TURN).',
    ],
    again: true,
  },
  closed: {
    title: 'The device closed the connection',
    why: 'It is stopping or restarting, or your access was taken back.',
    remedies: ['Wait a little.', TELL_OWNER],
    again: true,
  },
  lost: {
    title: 'The connection was lost',
    why: 'The device went silent, or the network between you changed.',
    remedies: ['Check your network.', 'Make sure that the device is on.'],
    again: true,
  },
  protocol: { title: 'The device does not speak as expected', why: 'It broke the rules of the protocol.', remedies: [UPDATE], again: false },
  flow: { title: 'The device does not speak as expected', why: 'It sent more than it was asked for.', remedies: [UPDATE], again: false },
  hello: { title: 'The device speaks another version', why: 'Its first words could not be understood.', remedies: [UPDATE], again: false },

  none: { title: 'There is no answer', why: 'The device ended the request without one.', remedies: [RELOAD], again: true },
  cancelled: { title: 'The request was given up', why: 'It was ended before the answer came.', remedies: [RELOAD], again: true },
  refused: {
    title: 'The device does not allow this',
    why: 'Whoever runs it has not opened this address or this kind of request.',
    remedies: ['Go back.', TELL_OWNER],
    again: false,
  },
  malformed: { title: 'The request could not be sent', why: 'Something in it breaks the rules of HTTP.', remedies: ['Go back and try another way.'], again: false },
  'too-large': { title: 'The request is too large', why: 'Its address and fields are longer than the device takes.', remedies: ['Go back and try another way.'], again: false },
  unreachable: {
    title: 'The app is not running',
    why: 'You are connected to the device, but the app on it cannot be reached.',
    remedies: ['Start the app on the device.', RELOAD],
    again: true,
  },
  broken: { title: 'The app broke off', why: 'It ended its answer early, or answered with what is no HTTP.', remedies: [RELOAD, TELL_OWNER], again: true },
  timeout: { title: 'The app took too long', why: 'No answer came in the time that is allowed for it.', remedies: [RELOAD], again: true },
  gone: { title: 'The connection was lost', why: 'It ended before the answer had come.', remedies: [RELOAD], again: true },
  internal: { title: 'Something went wrong', why: 'This is a fault of the software. The browser’s console has the details.', remedies: [RELOAD, TELL_OWNER], again: true },
};

export function explain(code: Code): Words {
  return WORDS[code];
}

/** The HTTP status of a page that says why there is no answer. */
export function statusOf(code: Code): 403 | 413 | 502 | 503 | 504 {
  switch (code) {
    case 'denied':
    case 'refused':
      return 403;
    case 'too-large':
      return 413;
    case 'unreachable':
    case 'broken':
    case 'protocol':
    case 'flow':
    case 'hello':
    case 'malformed':
      return 502;
    case 'busy':
      return 503;
    default:
      return 504;
  }
}

/** What the middle of the page shows while the app cannot be shown. */
export interface Panel {
  readonly tone: 'calm' | 'trouble';
  readonly title: string;
  readonly text: string;
  readonly steps: readonly { readonly name: string; readonly state: 'done' | 'now' | 'later' }[];
  readonly remedies: readonly string[];
  readonly action: string | null;
  /** When the next attempt begins by itself, as of `Date.now`. */
  readonly until: number | null;
}

const STEPS = ['Find the device', 'Verify that it is the right one', 'Connect to it'] as const;
const STEP_OF = { starting: 0, signalling: 0, calling: 0, verifying: 1, connecting: 2 } as const;

/** Null while the link is open: the app is there instead. */
export function panel(status: LinkStatus): Panel | null {
  switch (status.is) {
    case 'open':
      return null;
    case 'connecting': {
      const now = STEP_OF[status.step];
      const steps = STEPS.map((name, at) => ({ name, state: at < now ? ('done' as const) : at === now ? ('now' as const) : ('later' as const) }));
      return {
        tone: 'calm',
        title: now === 1 ? 'Verifying…' : 'Connecting…',
        text: 'This page makes a private, encrypted connection from your browser to the device.',
        steps,
        remedies: [],
        action: null,
        until: null,
      };
    }
    case 'waiting':
    case 'failed': {
      const { title, why, remedies } = explain(status.code);
      return { tone: 'trouble', title, text: why, steps: [], remedies, action: status.is === 'waiting' ? 'Try now' : 'Try again', until: status.is === 'waiting' ? status.at : null };
    }
    case 'no-link':
      return {
        tone: 'calm',
        title: 'Open the link',
        text: 'This device opens for people who have its link, and this browser has not been here with one yet. The address alone is not enough.',
        steps: [],
        remedies: ['Open the whole link that you were given, with everything after the #.', 'No link? Ask whoever runs the device: “peerage expose” prints it.'],
        action: null,
        until: null,
      };
  }
}

/** Why this page cannot work at all in this place; null where it can. */
export interface Surroundings {
  readonly secure: boolean;
  readonly serviceWorker: boolean;
  readonly webRtc: boolean;
  /** The page's host begins with a device's id. */
  readonly device: boolean;
  readonly framed: boolean;
}

export function obstacle(here: Surroundings): Panel | null {
  const say = (title: string, text: string, remedies: readonly string[]): Panel => ({
    tone: 'trouble', title, text, steps: [], remedies, action: null, until: null,
  });
  if (here.framed) return say('This page must be a tab of its own', 'It was put into another page.', ['Open the link in a tab of its own.']);
  if (!here.device) return say('This is no device’s address', 'The address of a device begins with its id of 52 characters.', ['Copy the whole link again and open it.']);
  if (!here.secure) {
    return say(
      'This page needs https',
      'It was opened over plain http on a network. There, browsers switch off what an encrypted connection to the device needs, and anyone on the network could have changed this page.',
      ['Open the link on the machine where the server runs.', 'Or run the server with a domain and a certificate (“peerage serve --domain … --tls-cert … --tls-key …”) and use its https link.'],
    );
  }
  if (!here.serviceWorker) return say('This browser keeps nothing for this page', 'The page needs a service worker. Private windows of some browsers, and some settings, forbid it.', ['Open the link in a normal window, or in another browser.']);
  if (!here.webRtc) {
    const { title, why, remedies } = explain('unsupported');
    return say(title, why, remedies);
  }
  return null;
}

/** The small sign in the corner while the app is shown. `detail` is for those who look closer. */
export interface Badge {
  readonly tone: 'good' | 'relayed' | 'busy' | 'trouble';
  readonly text: string;
  readonly detail: string;
  readonly action: string | null;
}

export function badge(status: LinkStatus): Badge {
  switch (status.is) {
    case 'open': {
      const time = status.roundTrip === null ? '' : ` · ${Math.max(1, Math.round(status.roundTrip))} ms`;
      if (status.route === 'relayed') return { tone: 'relayed', text: `Relayed${time}`, detail: 'Connected through a relay, which cannot read what passes. Verified and encrypted end to end.', action: null };
      if (status.route === 'direct') return { tone: 'good', text: `Direct${time}`, detail: 'Connected directly to the device. Verified and encrypted end to end.', action: null };
      return { tone: 'good', text: 'Connected', detail: 'Verified and encrypted end to end.', action: null };
    }
    case 'connecting':
      return { tone: 'busy', text: 'Reconnecting…', detail: 'The connection was lost. The app goes on as soon as it is back.', action: null };
    case 'waiting':
    case 'failed': {
      const { title, why } = explain(status.code);
      return { tone: 'trouble', text: title, detail: why, action: status.is === 'waiting' ? 'Try now' : 'Try again' };
    }
    case 'no-link':
      return { tone: 'trouble', text: 'Open the link', detail: 'This browser is not known to the device.', action: null };
  }
}
