// Who is signed in. The token is kept for this tab only: sessionStorage ends with it.
import type { WhoAmI } from './model';
import { store } from './store';

export interface Session {
  token: string | null;
  /** null until the API has said it. */
  who: WhoAmI | null;
  /** Why the last session ended: by the person, or because the token was refused. */
  ended?: 'left' | 'refused';
}

const storedAs = 'meterd.token';

const state = store<Session>({ token: sessionStorage.getItem(storedAs), who: null });

let tried: string | null = null;

export const session = {
  ...state,
  begin(token: string, who: WhoAmI): void {
    tried = null;
    sessionStorage.setItem(storedAs, token);
    state.set({ token, who });
  },
  /** Asks with a token that is not kept yet; null: with the one that is kept. */
  tryOut(token: string | null): void {
    tried = token;
  },
  /** The token that requests carry. */
  bearer(): string | null {
    return tried ?? state.get().token;
  },
  know(who: WhoAmI): void {
    state.set({ ...state.get(), who });
  },
  end(ended: 'left' | 'refused'): void {
    sessionStorage.removeItem(storedAs);
    state.set({ token: null, who: null, ended });
  },
};

// The browser keeps whole pages to go back to: one that was left while signed in must not come back with its data.
addEventListener('pageshow', (event) => {
  if (event.persisted && sessionStorage.getItem(storedAs) !== state.get().token) session.end('left');
});

/** What a call needs its token to allow; as package access has it. */
export type Right = 'read' | 'usage' | 'snapshot' | 'operate' | 'administer' | 'daemon';

/** Whether a token allows something. "daemon" is what concerns all accounts: metrics, gateways. */
export function may(who: WhoAmI | null, right: Right): boolean {
  if (!who) return false;
  const isBound = !!who.account;
  switch (who.role) {
    case 'admin':
      return (right !== 'administer' && right !== 'daemon') || !isBound;
    case 'billing':
      return right === 'usage' || right === 'snapshot';
    case 'viewer':
      return right === 'read' || right === 'usage' || (right === 'daemon' && !isBound);
    default:
      return false;
  }
}
