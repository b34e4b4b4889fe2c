import type { device as en } from '../en/device';

export const device: typeof en = {
  title: '设备',
};
