import { Page } from '../components/layout';
import { Empty } from '../components/state';
import { useLocale } from '../locale';

export function LicensesPage() {
  const { t } = useLocale();
  return (
    <Page title={t.licenses.title}>
      <Empty />
    </Page>
  );
}
