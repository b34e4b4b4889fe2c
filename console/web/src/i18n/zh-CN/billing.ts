import type { billing as en } from '../en/billing';

export const billing: typeof en = {
  title: '用量与计费',
};
