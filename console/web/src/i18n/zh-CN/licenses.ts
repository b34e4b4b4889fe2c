import type { licenses as en } from '../en/licenses';
import { amount } from '../number';

export const licenses: typeof en = {
  title: '激活码管理',
  noAccounts: '暂无账号',
  consumed: '激活码明细',
  consumedLead: '按使用先后排列',
  serial: '序号',
  source: '订单号',
  sourceHint: '订单号，或 gift',
  gift: '赠送',
  activated: '激活时间',
  ends: '到期时间',
  state: '状态',
  any: '不限',
  within: (days) => `${amount(days, '天')}内`,
  endsWithin: (days) => `${amount(days, '天')}内到期`,
  orMore: (n) => `${n} 以上`,
  endsSoon: '即将到期',
  wholeName: '完整名称',
  clear: '清除筛选',
  none: '尚未使用激活码',
  noneLead: '设备首次上线时使用一个激活码。',
  noneFits: '没有符合条件的激活码',
};
