import type { product as en } from '../en/product';

export const product: typeof en = {
  title: '产品',
};
