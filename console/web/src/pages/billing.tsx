// What bills are made from: usage by month, and the sealed snapshots of it.
import { type Scope, type ScopeChoice, useScope } from '../components/scope';
import { Page } from '../components/layout';
import { Empty, Failed, Loading } from '../components/state';
import { useLocale } from '../locale';
import { SnapshotsSection } from './billing/snapshots';
import { UsageSection } from './billing/usage';

export function BillingPage() {
  const { t } = useLocale();
  const choice = useScope();
  return (
    <Page title={t.billing.title}>
      <UsageOf choice={choice} scope={choice.scope} />
      <SnapshotsSection />
    </Page>
  );
}

function UsageOf({ choice, scope }: { choice: ScopeChoice; scope?: Scope }) {
  const { t } = useLocale();
  const { load } = choice;
  return (
    <>
      {load.error !== undefined && <Failed error={load.error} retry={load.reload} />}
      {scope ? <UsageSection choice={choice} scope={scope} />
        : load.data ? <Empty title={t.licenses.noAccounts} /> : load.isLoading && <Loading />}
    </>
  );
}
