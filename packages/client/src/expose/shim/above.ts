import type { ShellWindow } from '../hooks.js';

function isShell(window: Window | null): window is ShellWindow {
  try {
    return window !== null && window !== self && window === top && window.document.documentElement.dataset['peerage'] === 'shell';
  } catch {
    // Another site's.
    return false;
  }
}

/** Workers are in no window. */
const inPage = typeof document !== 'undefined';

/** The shell around the app's own frame; null in a frame inside the app, and where it cannot be reached. */
export const above: ShellWindow | null = inPage && isShell(parent) ? parent : null;

/** The shell of the tab, for frames inside the app too. */
export const shell: ShellWindow | null = inPage && isShell(top) ? top : null;
