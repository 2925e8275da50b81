/** Makes the frame be the tab, as far as the app is concerned: its opener, its end, its history. */
import { HOOKS } from '../hooks.js';
import { above } from './above.js';

export function beTheTab(): void {
  const tab = above;
  if (tab === null) return;
  // The app's page is the tab as far as the app is concerned: who opened it, and how it closes, is the shell's.
  Object.defineProperty(window, 'opener', { configurable: true, enumerable: true, get: () => tab.opener as unknown, set() {} });
  window.close = () => tab.close();

  // A new entry of the frame would not survive a reload of the tab: the tab gets it, the frame's is replaced (`history.ts`).
  const hooks = tab[HOOKS];
  const { pushState, replaceState } = History.prototype;
  History.prototype.pushState = function (this: History, ...change: Parameters<History['pushState']>) {
    if (this === history && hooks !== undefined) hooks.push(() => replaceState.apply(this, change));
    else pushState.apply(this, change);
  };
  hooks?.arrived();
  // The frame's first page was asked for by the shell; what led here led to the tab.
  const referrer = hooks?.referrer() ?? null;
  if (referrer !== null) Object.defineProperty(document, 'referrer', { configurable: true, enumerable: true, get: () => referrer });
}
