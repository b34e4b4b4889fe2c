import { Page } from '../components/layout';
import { Empty } from '../components/state';
import { useLocale } from '../locale';
import { Link, to } from '../router';

export function ProductPage({ product }: { product: string }) {
  const { t } = useLocale();
  return (
    <Page title={product} trail={<><Link to={to.overview}>{t.overview.title}</Link> / {t.product.title}</>}>
      <Empty />
    </Page>
  );
}
