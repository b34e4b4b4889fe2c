import type { operations as en } from '../en/operations';

export const operations: typeof en = {
  title: '运维',
};
