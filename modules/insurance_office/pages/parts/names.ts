/** Names of the codes of the insurance office. */
import type { Tone } from '@/lib/types'

const INSURANCES: Record<string, string> = { 310: '职工医保', 320: '公务员补助', 330: '大额补充', 340: '离休', 350: '残军', 390: '居民医保', 410: '长护', 510: '生育' }
export const insuranceName = (code: unknown): string => INSURANCES[String(code)] ?? String(code ?? '')
const CLEARINGS: Record<string, string> = { 11: '门诊', 12: '挂号', 13: '急诊', 14: '慢特病', 21: '住院', 41: '药店', 99: '其他' }
export const clearingName = (code: unknown): string => CLEARINGS[String(code)] ?? String(code ?? '')

const STATES: Record<string, [string, Tone]> = {
  draft: ['未上传', 'plain'], uploaded: ['已上传', 'info'], matched: ['已对平', 'good'], diff: ['有差异', 'bad'],
  confirmed: ['已确认', 'done'], deleted: ['已删除', 'plain'],
}
export const stateName = (state: unknown): string => STATES[String(state)]?.[0] ?? String(state ?? '')
export const stateTone = (state: unknown): Tone => STATES[String(state)]?.[1] ?? 'plain'
const PENDING: Record<string, string> = { upload: '上传', delete: '删除', confirm: '确认' }
export const pendingName = (act: unknown): string => PENDING[String(act)] ?? ''

const KINDS: Record<string, [string, Tone]> = {
  HOSPITAL_ONLY: ['医院多', 'warn'], CENTRE_ONLY: ['中心多', 'bad'], AMOUNT_DIFF: ['金额不符', 'warn'], FLAG_DIFF: ['退费标志不符', 'warn'],
}
export const kindName = (kind: unknown): string => KINDS[String(kind)]?.[0] ?? String(kind ?? '')
export const kindTone = (kind: unknown): Tone => KINDS[String(kind)]?.[1] ?? 'plain'
const DONE: Record<string, [string, Tone]> = { open: ['待处理', 'bad'], proposed: ['待审批冲正', 'warn'], reversing: ['冲正结果未明', 'warn'], settled: ['已处理', 'good'], gone: ['已消除', 'done'] }
export const doneName = (state: unknown): string => DONE[String(state)]?.[0] ?? String(state ?? '')
export const doneTone = (state: unknown): Tone => DONE[String(state)]?.[1] ?? 'plain'

const LEVELS: Record<string, string> = { '01': '甲', '02': '乙', '03': '丙' }
export const levelName = (level: unknown): string => LEVELS[String(level)] ?? String(level ?? '')
export const CATALOGUES = [{ value: '101', label: '西药、中成药' }, { value: '102', label: '中药饮片' }, { value: '103', label: '自制剂' }, { value: '201', label: '医疗服务项目' }, { value: '301', label: '医用耗材' }]
export const catalogueName = (code: unknown): string => CATALOGUES.find((one) => one.value === String(code))?.label ?? String(code ?? '')
const MAPPED: Record<string, [string, Tone]> = { unmapped: ['未对照', 'bad'], draft: ['未上传', 'warn'], uploaded: ['已上传', 'good'], refused: ['被拒绝', 'bad'] }
export const mappedName = (state: unknown): string => MAPPED[String(state)]?.[0] ?? String(state ?? '')
export const mappedTone = (state: unknown): Tone => MAPPED[String(state)]?.[1] ?? 'plain'

const ACTS: Record<string, string> = { preview: '预结算', settle: '结算', reverse: '撤销' }
export const actName = (act: unknown): string => ACTS[String(act)] ?? String(act ?? '')
export const ACT_OPTIONS = Object.entries(ACTS).map(([value, label]) => ({ value, label }))
