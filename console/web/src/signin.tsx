// Signing in: with a token, or with a one-time code in the address, which is taken out of it at once.
import { useEffect, useState } from 'preact/hooks';
import { api } from './calls';
import { Input, Switch } from './components/field';
import { Notice } from './components/layout';
import { explainError } from './denial';
import { Problem } from './http';
import { useLocale } from './locale';
import { session } from './session';
import { store, useStore } from './store';

/** The code that the address held when the page came, until it is exchanged for a token. */
export const signInCode = store<string | null>(/^#sign-in=([\w.~-]+)$/.exec(location.hash)?.[1] ?? null);

if (location.hash.startsWith('#sign-in=')) {
  history.replaceState(null, '', location.pathname + location.search); // Neither history nor a copied address has it.
}

/** Asks who a token is before it is kept; throws what the API says. */
async function begin(token: string): Promise<void> {
  session.tryOut(token);
  try {
    session.begin(token, await api.whoAmI());
  } catch (error) {
    session.tryOut(null);
    throw error;
  }
}

export function SignIn() {
  const locale = useLocale();
  const { t } = locale;
  const waiting = useStore(signInCode);
  const { ended } = useStore(session);
  const [token, setToken] = useState('');
  const [isShown, setShown] = useState(false);
  const [isWorking, setWorking] = useState(false);
  const [error, setError] = useState('');

  useEffect(() => {
    document.title = `${t.shell.signIn} · ${t.shell.name}`;
  }, [t]);

  const enter = async (how: () => Promise<void>, refused: string) => {
    setWorking(true);
    setError('');
    try {
      await how();
    } catch (failed) {
      const isRefused = failed instanceof Problem && failed.status >= 400 && failed.status < 500;
      setError(isRefused ? refused : explainError(failed, locale));
    }
    setWorking(false);
  };

  useEffect(() => {
    if (!waiting) return;
    const exchange = async () => {
      try {
        await begin((await api.signIn(waiting)).token);
      } finally {
        signInCode.set(null);
      }
    };
    void enter(exchange, t.shell.badCode);
  }, []);

  const submit = (event: Event) => {
    event.preventDefault();
    const given = token.trim();
    if (!given) setError(t.shell.tokenNeeded);
    else if (!/^[\w.-]+$/.test(given)) setError(t.shell.tokenShape);
    else void enter(() => begin(given), t.shell.badToken);
  };

  if (waiting) return <p class="state" role="status">{t.shell.signingIn}</p>;
  return (
    <form class="sign-in panel" onSubmit={submit}>
      <h1>{t.shell.signIn}</h1>
      <p>{t.shell.signInLead}</p>
      {ended === 'left' && !error && <Notice tone="info">{t.shell.leftBefore}</Notice>}
      {ended === 'refused' && !error && <Notice tone="warn">{t.shell.refusedBefore}</Notice>}
      <Input
        label={t.shell.token} hint={t.shell.tokenHint} error={error} value={token} change={setToken}
        isMasked={!isShown} isFocused maxLength={512}
      />
      <Switch label={t.shell.showToken} isOn={isShown} change={setShown} />
      <button type="submit" class="primary" disabled={isWorking}>
        {isWorking ? t.shell.signingIn : t.shell.signIn}
      </button>
    </form>
  );
}
