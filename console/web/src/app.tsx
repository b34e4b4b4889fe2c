// The root: signed in or not, and the page of the address.
import { Component, type ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { api } from './calls';
import { Failed, Loading } from './components/state';
import { useLoad } from './load';
import { LocaleProvider, useLocale } from './locale';
import { BillingPage } from './pages/billing';
import { ClusterPage } from './pages/cluster';
import { DevicePage } from './pages/device';
import { LicensesPage } from './pages/licenses';
import { OperationsPage } from './pages/operations';
import { OverviewPage } from './pages/overview';
import { ProductPage } from './pages/product';
import { go, type Route, to, useRoute } from './router';
import { session } from './session';
import { Nowhere, Shell, SignedOutShell } from './shell';
import { SignIn, signInCode } from './signin';
import { useStore } from './store';

export function App() {
  return (
    <LocaleProvider>
      <Guard>
        <Root />
      </Guard>
    </LocaleProvider>
  );
}

function Root() {
  const route = useRoute();
  const { token, who } = useStore(session);
  const code = useStore(signInCode);
  const asked = useLoad((signal) => api.whoAmI(signal), [token], { skip: !token || !!who });
  useEffect(() => {
    if (asked.data) session.know(asked.data);
  }, [asked.data]);
  useEffect(() => {
    if (token && route.page === 'sign-in' && !code) go(to.overview, 'replace');
  }, [token, route.page, code]);

  if (!token || code) return <SignedOutShell><SignIn /></SignedOutShell>;
  if (!who) {
    return (
      <SignedOutShell>
        {asked.error === undefined ? <Loading /> : <Failed error={asked.error} retry={asked.reload} />}
      </SignedOutShell>
    );
  }
  return <Shell route={route} who={who}><RoutedPage route={route} /></Shell>;
}

/** The page of an address. Its key is the thing that it is about: another thing begins anew. */
function RoutedPage({ route }: { route: Route }) {
  switch (route.page) {
    case 'overview':
    case 'sign-in':
      return <OverviewPage />;
    case 'licenses':
      return <LicensesPage />;
    case 'billing':
      return <BillingPage />;
    case 'operations':
      return <OperationsPage />;
    case 'cluster':
      return <ClusterPage />;
    case 'product':
      return <ProductPage key={route.product} product={route.product} />;
    case 'device':
      return <DevicePage key={`${route.product}/${route.device}`} product={route.product} device={route.device} />;
    case 'nowhere':
      return <Nowhere />;
  }
}

/** Says that a page has failed, instead of an empty window. */
class Guard extends Component<{ children: ComponentChildren }, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  override componentDidCatch(error: unknown): void {
    this.setState({ hasFailed: true });
    reportError(error);
  }

  override render() {
    return this.state.hasFailed ? <Crashed /> : this.props.children;
  }
}

function Crashed() {
  const { t } = useLocale();
  return (
    <main class="alone">
      <p role="alert">{t.shell.crashed}</p>
      <p><a href={location.pathname}>{t.shell.retry}</a></p>
    </main>
  );
}
