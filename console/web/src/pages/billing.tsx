import { Page } from '../components/layout';
import { Empty } from '../components/state';
import { useLocale } from '../locale';

export function BillingPage() {
  const { t } = useLocale();
  return (
    <Page title={t.billing.title}>
      <Empty />
    </Page>
  );
}
