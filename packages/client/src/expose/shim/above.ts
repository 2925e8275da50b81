import type { ShellWindow } from '../hooks.js';

/** The shell, if this is the app's own frame in it. */
function shell(): ShellWindow | null {
  try {
    return parent !== self && parent === top && parent.document.documentElement.dataset['peerage'] === 'shell' ? parent : null;
  } catch {
    return null;
  }
}

/** The shell around the app's own frame; null in a frame inside the app, and where it cannot be reached. */
export const above = shell();
