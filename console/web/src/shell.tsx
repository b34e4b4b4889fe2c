// What stands around each page: navigation, who is signed in, language and colours.
import type { ComponentChildren } from 'preact';
import { api } from './calls';
import { Announcer } from './components/announce';
import { Badge, Page } from './components/layout';
import { Empty } from './components/state';
import type { Language } from './format';
import { useLocale } from './locale';
import type { WhoAmI } from './model';
import { Link, type Route, to } from './router';
import { may, type Right, session } from './session';
import { language, type Theme, theme } from './settings';
import { useStore } from './store';

type NavigationPage = 'overview' | 'licenses' | 'billing' | 'operations' | 'cluster';

const navigation: readonly (readonly [NavigationPage, Right])[] = [
  ['overview', 'usage'],
  ['licenses', 'usage'],
  ['billing', 'usage'],
  ['operations', 'read'],
  ['cluster', 'read'],
];

export function Shell({ route, who, children }: { route: Route; who: WhoAmI; children: ComponentChildren }) {
  const { t } = useLocale();
  const current = (page: NavigationPage) => {
    if (route.page === page) return 'page';
    return page === 'overview' && (route.page === 'product' || route.page === 'device') ? 'true' : undefined;
  };
  return (
    <div class="shell">
      <a class="skip" href="#content" onClick={toContent}>{t.shell.skip}</a>
      <header class="bar">
        <Link to={to.overview} class="brand">{t.shell.name}</Link>
        <nav class="navigation" aria-label={t.shell.navigation}>
          <ul>
            {navigation.map(([page, right]) => may(who, right) && (page !== 'cluster' || who.cluster) && (
              <li key={page}><Link to={to[page]} current={current(page)}>{t.shell[page]}</Link></li>
            ))}
          </ul>
        </nav>
        <div class="who">
          <p class="who-name">
            {who.demo && <Badge tone="info">{t.shell.demo}</Badge>}
            <b title={who.token}>{who.token}</b>
            <span>{t.terms.roles[who.role]} · {who.account ?? t.shell.allAccounts}</span>
            <span>{t.terms.region} {who.region}</span>
            <span>{t.shell.version(who.version)}</span>
          </p>
          <Choices />
          <button type="button" class="sign-out" onClick={() => void signOut(who)}>{t.shell.signOut}</button>
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        {may(who, 'usage') ? children : <Page title={who.token}><Empty title={t.shell.noPages} /></Page>}
      </main>
      <Announcer />
    </div>
  );
}

/** How long the name of a token is that was made for signing in: `console-` and 26 letters and digits. */
const SIGN_IN_NAME = 34;

/** A token that was made for signing in is of no use afterwards. */
async function signOut(who: WhoAmI): Promise<void> {
  if (who.token.startsWith('console-') && who.token.length === SIGN_IN_NAME && may(who, 'administer')) {
    await api.deleteToken(who.token).catch(() => undefined); // It expires.
  }
  session.end('left');
}

function toContent(event: Event): void {
  event.preventDefault();
  document.getElementById('content')?.focus();
}

export function SignedOutShell({ children }: { children: ComponentChildren }) {
  const { t } = useLocale();
  return (
    <div class="signed-out">
      <header class="signed-out-bar">
        <span class="brand">{t.shell.name}</span>
        <Choices />
      </header>
      <main id="content">{children}</main>
    </div>
  );
}

/** Language and colours. */
function Choices() {
  const { t } = useLocale();
  const tag = useStore(language);
  const colours = useStore(theme);
  return (
    <div class="choices">
      <select
        aria-label={t.shell.language} value={tag} onChange={(e) => language.set(e.currentTarget.value as Language)}
      >
        <option value="en" lang="en">English</option>
        <option value="zh-CN" lang="zh-CN">简体中文</option>
      </select>
      <select aria-label={t.shell.theme} value={colours} onChange={(e) => theme.set(e.currentTarget.value as Theme)}>
        <option value="auto">{t.shell.themes.auto}</option>
        <option value="light">{t.shell.themes.light}</option>
        <option value="dark">{t.shell.themes.dark}</option>
      </select>
    </div>
  );
}

export function Nowhere() {
  const { t } = useLocale();
  return (
    <Page title={t.shell.notFoundTitle}>
      <Empty title={t.shell.nowhere}><p><Link to={to.overview}>{t.shell.toOverview}</Link></p></Empty>
    </Page>
  );
}
