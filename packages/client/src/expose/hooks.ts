/** What the shim in the app's page may call of the shell around it. */
export interface Hooks {
  /** A new document begins; called before any of its own scripts runs. */
  arrived(): void;
  /** `change` replaces the frame's entry; the tab gets a new one for it. */
  push(change: () => void): void;
  /** What the tab's first document has as its referrer; null for those after it, which know it themselves. */
  referrer(): string | null;
}

/** The property of the shell's window. */
export const HOOKS = '__peerage';

export type ShellWindow = Window & { [HOOKS]?: Hooks };
