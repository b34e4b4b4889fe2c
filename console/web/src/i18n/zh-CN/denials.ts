// Why an event was denied, in words. The numbers come with the denial, and may be missing.
import type { denials as en } from '../en/denials';

export const denials: typeof en = {
  title: {
    message_quota_exceeded: '当日消息已用完',
    ota_quota_exceeded: 'OTA 额度已用完',
    license_exhausted: '激活码已用完',
    not_activated: '未激活',
    renewal_off: '未开启续期',
    suspended: '已停用',
    unknown_product: '产品不存在',
    unknown_ota: 'OTA 不存在',
    already_voided: 'OTA 已退回',
    ota_id_reused: 'OTA 标识重复',
    payload_too_large: '消息体过大',
    invalid_event: '事件无效',
  },
  other: (code) => `已拒绝：${code}`,
  quota: (used, limit) => `当日 ${limit} 条消息已使用 ${used} 条。`,
  otaQuota: (used, limit) => `当月 ${limit} 个 OTA 单位已使用 ${used} 个，补充包不足以抵扣其余部分。`,
  resets: (when) => `额度将于${when}恢复。`,
  explained: {
    message_quota_exceeded: '设备已用完套餐规格允许的当日消息数，次日之前上行和下行均不再通过。',
    ota_quota_exceeded: '当月额度与 OTA 补充包合计不足以完成本次升级。请购买 OTA 补充包，或等待下个月。',
    license_exhausted: '产品和账号均无剩余可用的激活码。激活码到账后设备即可上线。',
    not_activated: '设备尚无激活码，须先上线。',
    renewal_off: '设备的激活码已到期，且未开启自动续期。',
    suspended: '设备、所属产品或所属账号已停用。',
    unknown_product: '没有这个产品。',
    unknown_ota: '没有可退回的此标识的 OTA。',
    already_voided: '此标识的 OTA 已经退回。',
    ota_id_reused: '此标识的 OTA 曾以不同大小上报。',
    payload_too_large: '消息体超过 256 KiB。',
    invalid_event: '事件缺少字段或字段有误。',
  },
};
