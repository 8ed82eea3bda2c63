/** Names of the codes of outside calls, invoices and deposits. */
import type { Tone } from '@/lib/types'

const PURPOSES: Record<string, string> = { pay: '收款', refund: '退款', insure: '医保结算', uninsure: '医保撤销', issue: '开电子票', red: '冲红', paper: '换开纸质票', unpaper: '作废纸质票' }
export const purposeName = (code: unknown): string => PURPOSES[String(code)] ?? String(code ?? '')
export const PURPOSE_OPTIONS = Object.entries(PURPOSES).map(([value, label]) => ({ value, label }))

const CHANNELS: Record<string, string> = { scan: '扫码', ecny: '数字人民币', insurance: '医保', einvoice: '电子票据', med_mobile: '医保移动支付' }
export const channelName = (code: unknown): string => CHANNELS[String(code)] ?? String(code ?? '')

const STATES: Record<string, [string, Tone]> = {
  created: ['待发送', 'warn'], calling: ['没有应答', 'bad'], unknown: ['结果未明', 'bad'], confirmed: ['成功', 'good'],
  refused: ['被拒绝', 'bad'], used: ['已入账', 'good'], reversed: ['已撤回', 'done'],
}
export const stateName = (code: unknown): string => STATES[String(code)]?.[0] ?? String(code ?? '')
export const stateTone = (code: unknown): Tone => STATES[String(code)]?.[1] ?? 'plain'

const ACTS: Record<string, string> = { pay: '收款', refund: '退款', query: '查询', preview: '预结算', settle: '结算', reverse: '撤销', issue: '开票', red: '冲红', decide: '人工认定', statement: '对账单', close: '关闭订单' }
export const actName = (code: unknown): string => ACTS[String(code)] ?? String(code ?? '')

const INVOICES: Record<string, [string, Tone]> = { waiting: ['开具中', 'warn'], issued: ['已开具', 'good'], red: ['已冲红', 'done'], failed: ['开具失败', 'bad'] }
export const INVOICE_OPTIONS = Object.entries(INVOICES).map(([value, [label]]) => ({ value, label }))
export const invoiceName = (code: unknown): string => INVOICES[String(code)]?.[0] ?? String(code ?? '')
export const invoiceTone = (code: unknown): Tone => INVOICES[String(code)]?.[1] ?? 'plain'

const ORDERS: Record<string, [string, Tone]> = {
  created: ['待病人支付', 'info'], calling: ['支付中', 'warn'], unknown: ['结果未明', 'bad'], confirmed: ['已支付，入账中', 'warn'],
  refused: ['已关闭', 'done'], used: ['已入账', 'good'], reversed: ['已退回', 'done'],
}
export const orderName = (code: unknown): string => ORDERS[String(code)]?.[0] ?? String(code ?? '')
export const orderTone = (code: unknown): Tone => ORDERS[String(code)]?.[1] ?? 'plain'

const PAPERS: Record<string, [string, Tone]> = { printing: ['换开中', 'warn'], printed: ['有效', 'good'], voiding: ['作废中', 'warn'], void: ['已作废', 'done'], failed: ['未换开', 'bad'] }
export const paperName = (code: unknown): string => PAPERS[String(code)]?.[0] ?? String(code ?? '')
export const paperTone = (code: unknown): Tone => PAPERS[String(code)]?.[1] ?? 'plain'

const CHECKS: Record<string, [string, Tone]> = { even: ['一致', 'good'], different: ['有差异', 'bad'], settled: ['差异已处理', 'done'], failed: ['未能对账', 'warn'] }
export const checkName = (code: unknown): string => CHECKS[String(code)]?.[0] ?? String(code ?? '')
export const checkTone = (code: unknown): Tone => CHECKS[String(code)]?.[1] ?? 'plain'

const DIFFERENCES: Record<string, string> = { ours_only: '本院有，平台没有', theirs_only: '平台有，本院没有', amount: '金额不一致', state: '平台已开，本院未知' }
export const differenceName = (code: unknown): string => DIFFERENCES[String(code)] ?? String(code ?? '')
