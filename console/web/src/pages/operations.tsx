import { Page } from '../components/layout';
import { Empty } from '../components/state';
import { useLocale } from '../locale';

export function OperationsPage() {
  const { t } = useLocale();
  return (
    <Page title={t.operations.title}>
      <Empty />
    </Page>
  );
}
