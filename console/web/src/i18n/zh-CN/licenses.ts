import type { licenses as en } from '../en/licenses';

export const licenses: typeof en = {
  title: '激活码管理',
};
