/** Names of the codes that the ledger sends, and the payment methods of a window. */
import { computed, ref } from 'vue'
import { api } from '@/lib/api'
import type { PaymentMethod } from '@/lib/payment'
import type { Tone } from '@/lib/types'

const ALL_METHODS: PaymentMethod[] = [
  { code: 'cash', name: '现金', kind: 'cash', key: 'Alt+C' },
  { code: 'scan', name: '扫码', kind: 'scan', key: 'Alt+S' },
  { code: 'ecny', name: '数字人民币', kind: 'scan', key: 'Alt+K' },
]
const open = ref(['cash', 'scan'])
/** The ways to pay here: cash, and the channels that are open, once it is known which. */
export const methods = computed(() => ALL_METHODS.filter((one) => open.value.includes(one.code)))
/** Asks which channels are open; called when a window with a till is opened. Until then scan is offered, as ever. */
export async function loadMethods(): Promise<void> {
  const found = await api.get<{ items: { code: string }[] }>('charging/channels').catch(() => null)
  if (found) open.value = ['cash', ...found.items.map((one) => one.code)]
}

const METHOD_NAMES: Record<string, string> = { cash: '现金', scan: '扫码支付', rounding: '现金舍入', insurance: '医保', insurance_fund: '医保基金', insurance_account: '医保个人账户', insurance_hospital: '医院负担', ecny: '数字人民币', med_mobile: '医保移动支付' }
export const methodName = (code: unknown): string => METHOD_NAMES[String(code)] ?? String(code ?? '')

/** Fiscal categories, med_chrgitm_type 01–14. */
const CATEGORY_NAMES: Record<string, string> = {
  '01': '床位费', '02': '诊察费', '03': '检查费', '04': '化验费', '05': '治疗费', '06': '手术费', '07': '护理费',
  '08': '卫生材料费', '09': '西药费', '10': '中药饮片费', '11': '中成药费', '12': '一般诊疗费', '13': '挂号费', '14': '其他费',
}
export const categoryName = (code: unknown): string => CATEGORY_NAMES[String(code)] ?? String(code ?? '')

const KIND_NAMES: Record<string, [string, Tone]> = { charge: ['收费', 'good'], refund: ['退费', 'bad'], convert: ['转医保', 'info'] }
export const kindName = (kind: unknown): string => KIND_NAMES[String(kind)]?.[0] ?? String(kind ?? '')
export const kindTone = (kind: unknown): Tone => KIND_NAMES[String(kind)]?.[1] ?? 'plain'

const SOURCE_NAMES: Record<string, string> = { registration: '挂号费', prescription: '处方', request: '检查治疗申请', supplement: '补录费用' }
export const sourceName = (code: unknown): string => SOURCE_NAMES[String(code)] ?? String(code ?? '')

const INTENT_NAMES: Record<string, [string, Tone]> = {
  created: ['待发送', 'warn'], calling: ['处理中', 'warn'], unknown: ['结果不明', 'bad'], confirmed: ['成功', 'good'],
  refused: ['失败', 'bad'], used: ['已入账', 'good'], reversed: ['已退回', 'done'],
}
export const intentName = (state: unknown): string => INTENT_NAMES[String(state)]?.[0] ?? String(state ?? '')
export const intentTone = (state: unknown): Tone => INTENT_NAMES[String(state)]?.[1] ?? 'plain'

export const APPROVALS: Record<string, string> = { requested: '待审批', approved: '已批准', declined: '未批准', used: '已退费' }
const APPROVAL_TONES: Record<string, Tone> = { requested: 'warn', approved: 'good', declined: 'bad', used: 'done' }
export const approvalName = (state: unknown): string => APPROVALS[String(state)] ?? String(state ?? '')
export const approvalTone = (state: unknown): Tone => APPROVAL_TONES[String(state)] ?? 'plain'
