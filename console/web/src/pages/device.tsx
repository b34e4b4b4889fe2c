import { Page } from '../components/layout';
import { Empty } from '../components/state';
import { useLocale } from '../locale';
import { Link, to } from '../router';

export function DevicePage({ product, device }: { product: string; device: string }) {
  const { t } = useLocale();
  const trail = (
    <>
      <Link to={to.overview}>{t.overview.title}</Link> / <Link to={to.product(product)}>{product}</Link> /{' '}
      {t.device.title}
    </>
  );
  return (
    <Page title={device} trail={trail}>
      <Empty />
    </Page>
  );
}
