/** What the shim in the app's page may call of the shell around it. */
export interface Hooks {
  /** A new document begins; called before any of its own scripts runs. */
  arrived(): void;
  /** `change` replaces the frame's entry; the tab gets a new one for it. */
  push(change: () => void): void;
}

/** The property of the shell's window. */
export const HOOKS = '__peerage';

export type ShellWindow = Window & { [HOOKS]?: Hooks };
