/** Refunds of what the insurer paid: one answer shape for the window, and what to say of one that isn't done yet. */
import { computed, ref, type Ref } from 'vue'
import { api, ApiError } from '@/lib/api'
import { formatMoney, isNegative, negate } from '@/lib/money'
import { useLoader, useSubmission, type Submission } from '@/lib/submit'
import type { Row } from '@/lib/types'
import { methodName } from './names'

export interface Case {
  id: number
  state: string
  message: string | null
  due: string | null
  refund_id: number | null
  number: string | null
  total: string | null
  cash: string | null
  insurance: string | null
  intent_ids: number[]
}

/** What the done panel of an ordinary refund shows. */
export interface Refunded { id: number | null; number: string | null; total: string; cash: string; intent_ids: number[] }

export const isInsured = (methods: unknown[]): boolean => methods.some((method) => String(method).startsWith('insurance_'))

export const refundedOf = (found?: Case): Refunded | undefined => found && ({ id: found.refund_id, number: found.number, total: found.total ?? '0.00', cash: found.cash ?? '0.00', intent_ids: found.intent_ids })

/** Where the money of a refund went besides cash, by the ledger (M1.14): facts of the done panel, and what reads them. */
export function useWentBack() {
  const refund = useLoader((signal, id: number) => api.get<{ payments: Row[] }>(`outpatient-billing/settlements/${id}`, {}, { signal }))
  const facts = computed(() => (refund.data.value?.payments ?? []).filter((one) => !['cash', 'rounding'].includes(one.method) && isNegative(one.amount))
    .map((one): [string, string] => [`${methodName(one.method)}退回`, formatMoney(negate(one.amount))]))
  return { facts, read: (id: number | null) => void (id && refund.load(id)), forget: () => { refund.data.value = null } }
}

/** Why a case is not finished, as an error to show; null when it is. */
export function caseProblem(found: Case): ApiError | null {
  if (found.state === 'done') return null
  const text = found.state === 'undone' ? `${found.message ?? '医保未撤销'}。没有退费，费用保持原样`
    : found.state === 'due' ? `其余费用重新结算后，病人须补 ${found.due} 元（按角收取），收妥后按 F8 办完`
      : '医保撤销或重新结算的结果未明，系统正在查询并会自动办完；可稍候按 F8 查询'
  return new ApiError({ code: `insurance.case_${found.state}`, status: 409, message: text })
}

/**
 * A refund with the insurer, which gives its part back first: begun once (a lost answer is asked for under the same key), then
 * gone on with under its case until it is done. Where the insurer refuses, the next press begins anew.
 */
export function useCase(begin: (key: string) => Promise<Case>): Submission<[], Case> & { begun: Ref<Case | null> } {
  const begun = ref<Case | null>(null)
  const sent = useSubmission(async (key: string) => {
    const known = begun.value
    const found = known ? await api.post<Case>(`charging/insurance/refunds/${known.id}/${known.state === 'due' ? 'collect' : 'continue'}`, {}, { timeout: INSURER_WAIT }) : await begin(key)
    sent.renew()
    begun.value = found.state === 'undone' ? null : found
    const problem = caseProblem(found)
    if (problem) throw problem
    return found
  })
  const reset = (): void => {
    begun.value = null
    sent.reset()
  }
  return { ...sent, begun, reset }
}

/** Milliseconds: the insurer is asked twice or thrice while the window waits. */
export const INSURER_WAIT = 150_000
