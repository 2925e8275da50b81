/** Puts the words of `states.ts` on the page: a panel while the app is not there, a badge in the corner while it is. */
import type { LinkStatus } from './messages.js';
import { badge, type Panel, panel } from './states.js';

const HIDDEN = 'peerage-badge-hidden';

export class View {
  #appShown = false;
  #failed = false;
  #countdown: ReturnType<typeof setInterval> | undefined;

  constructor(device: string, retry: () => void) {
    // In groups, as people compare it: by a glance at the first and the last.
    element('device').textContent = device.length > 16 ? `${device.slice(0, 4)} ${device.slice(4, 8)} … ${device.slice(-4)}` : device;
    element('device').title = device;
    element('action').addEventListener('click', retry);
    element('badge-action').addEventListener('click', retry);
    element('badge-hide').addEventListener('click', () => {
      sessionStorage.setItem(HIDDEN, '1');
      element('badge').hidden = true;
    });
  }

  /** From now on trouble shows in the badge, and the app stays. */
  appShown(): void {
    this.#appShown = true;
    element('panel').hidden = true;
    document.documentElement.dataset['app'] = 'shown';
  }

  status(status: LinkStatus): void {
    if (this.#appShown) {
      this.#showBadge(status);
      return;
    }
    // An attempt after a failure leaves the advice in place until it gets somewhere: the page should not flicker between the two.
    const gettingSomewhere = status.is !== 'connecting' || status.step === 'verifying' || status.step === 'connecting';
    if (this.#failed && !gettingSomewhere) {
      element('action').hidden = true;
      this.#countTo(null);
      setText('until', 'Trying again…');
      return;
    }
    this.#failed = status.is === 'waiting' || status.is === 'failed';
    const shown = panel(status);
    if (shown !== null) this.show(shown);
  }

  show(shown: Panel): void {
    element('panel').dataset['tone'] = shown.tone;
    element('panel').ariaBusy = String(shown.steps.length > 0);
    setText('title', shown.title);
    setText('text', shown.text);
    list('steps', shown.steps.length, (item, at) => {
      const step = shown.steps[at];
      item.textContent = step?.name ?? '';
      item.dataset['state'] = step?.state ?? 'later';
      if (step?.state === 'now') item.ariaCurrent = 'step';
      else item.removeAttribute('aria-current');
    });
    list('remedies', shown.remedies.length, (item, at) => (item.textContent = shown.remedies[at] ?? ''));
    element('action').hidden = shown.action === null;
    setText('action', shown.action ?? '');
    this.#countTo(shown.until);
    element('panel').hidden = false;
  }

  #showBadge(status: LinkStatus): void {
    const { tone, text, detail, action } = badge(status);
    // Trouble is shown also to those who hid the good news.
    element('badge').hidden = tone !== 'trouble' && sessionStorage.getItem(HIDDEN) !== null;
    element('badge').dataset['tone'] = tone;
    setText('badge-text', text);
    setText('badge-detail', detail);
    element('badge-action').hidden = action === null;
    setText('badge-action', action ?? '');
  }

  #countTo(until: number | null): void {
    clearInterval(this.#countdown);
    setText('until', '');
    if (until === null) return;
    const tick = (): void => setText('until', `Next try in ${Math.max(0, Math.ceil((until - Date.now()) / 1_000))} s`);
    tick();
    this.#countdown = setInterval(tick, 1_000);
  }
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`shell.html has no #${id}`);
  return found;
}

/** Says nothing twice: screen readers would, too. */
function setText(id: string, text: string): void {
  const target = element(id);
  if (target.textContent !== text) target.textContent = text;
}

function list(id: string, length: number, fill: (item: HTMLLIElement, at: number) => void): void {
  const target = element(id);
  target.hidden = length === 0;
  while (target.childElementCount > length) target.lastElementChild?.remove();
  while (target.childElementCount < length) target.append(document.createElement('li'));
  [...target.children].forEach((item, at) => fill(item as HTMLLIElement, at));
}
