/**
 * Scan and e-CNY payments of one person: taken before the bill is settled, asked about when the answer is lost, given back when
 * not used. A received payment always counts towards the next bill, so that none is taken twice.
 */
import { computed, ref, type ComputedRef, type Ref } from 'vue'
import { api, ApiError, asApiError, newKey } from '@/lib/api'
import { add, isZero, sum } from '@/lib/money'
import type { PaymentEntry, PaymentState } from '@/lib/payment'
import { can } from '@/lib/session'
import { intentName, loadMethods } from './names'

export interface Intent {
  id: number
  number: string
  channel: string
  amount: string
  state: string
  message: string | null
  created_at: string
}

/** A payment as the server wants it: `covers` is the part of the bill before cash is rounded. */
export interface WirePayment {
  method: string
  covers: string
  intent_id?: number
  tendered?: string
}

export interface Scan {
  intents: Ref<Intent[]>
  busy: Ref<boolean>
  error: Ref<ApiError | null>
  /** Received and not used yet. */
  received: ComputedRef<Intent[]>
  receivedTotal: ComputedRef<string>
  /** Received or perhaps received: what the bill need not be paid by otherwise. */
  promisedTotal: ComputedRef<string>
  /** The same as lines of the payment panel. */
  covered: ComputedRef<{ label: string; amount: string }[]>
  /** On its way or unknown: has to be asked about before anything else is taken. */
  pending: ComputedRef<Intent[]>
  refresh: () => Promise<void>
  query: (id: number) => Promise<void>
  giveBack: (id: number) => Promise<Intent | null>
  /** Takes the scan entries; gives what to settle with, or null when the money isn't there. */
  collect: (paid: PaymentEntry[], state: PaymentState) => Promise<WirePayment[] | null>
  clear: () => void
}

const PATH = 'outpatient-billing/payment-intents'
const WAIT = 90_000
const LATER = '渠道暂无应答，由系统继续退回'

function refuse(code: string, message: string): ApiError {
  return new ApiError({ code, status: 409, message })
}

/**
 * Sends a return on its way and says how far it got. The ledger owes it already: when the channel doesn't answer now,
 * the background job goes on.
 */
export async function sendReturn(id: number): Promise<string> {
  if (!can('outpatient_billing.refund')) return '由系统自动原路退回'
  try {
    return intentName((await api.post<Intent>(`${PATH}/${id}/send`, {}, { timeout: WAIT })).state)
  } catch {
    return LATER
  }
}

/** The same for a cancelled registration's fee, which whoever may register sends. One text per return. */
export async function sendReturnsOf(registration: number): Promise<string[]> {
  try {
    const sent = await api.post<{ items: Intent[] }>(`outpatient-billing/registrations/${registration}/send-returns`, {}, { timeout: WAIT })
    return sent.items.map((one) => intentName(one.state))
  } catch {
    return [LATER]
  }
}

/** `entries` is the payment panel's model: a scan entry leaves it in the moment its money is received. */
export function useScan(person: () => number | null, entries: Ref<PaymentEntry[]>): Scan {
  void loadMethods()
  const intents = ref<Intent[]>([])
  const busy = ref(false)
  const error = ref<ApiError | null>(null)
  const received = computed(() => intents.value.filter((one) => one.state === 'confirmed'))
  const receivedTotal = computed(() => sum(received.value.map((one) => one.amount)))
  const pending = computed(() => intents.value.filter((one) => ['created', 'calling', 'unknown'].includes(one.state)))

  const pendingTotal = computed(() => sum(pending.value.map((one) => one.amount)))
  const promisedTotal = computed(() => add(receivedTotal.value, pendingTotal.value))
  const covered = computed(() => [{ label: '扫码已收', amount: receivedTotal.value }, { label: '扫码待确认', amount: pendingTotal.value }]
    .filter((one) => !isZero(one.amount)))

  function put(intent: Intent): void {
    const place = intents.value.findIndex((one) => one.id === intent.id)
    if (place < 0) intents.value.push(intent)
    else intents.value.splice(place, 1, intent)
  }

  async function guarded<T>(action: () => Promise<T>): Promise<T | null> {
    if (busy.value) return null
    busy.value = true
    error.value = null
    try {
      return await action()
    } catch (thrown) {
      error.value = asApiError(thrown)
      return null
    } finally {
      busy.value = false
    }
  }

  async function read(id: number): Promise<void> {
    const found = await api.get<{ items: Intent[] }>(PATH, { person_id: id })
    // The answer for a person who isn't in front any more is nobody's.
    if (person() === id) intents.value = found.items
  }

  let reading: Promise<void> = Promise.resolve()
  async function refresh(): Promise<void> {
    clear()
    const id = person()
    if (id === null) return
    // Not `busy`: one may go on typing. Whoever pays waits for it.
    reading = read(id).catch((thrown) => {
      error.value = asApiError(thrown)
    })
    await reading
  }

  async function query(id: number): Promise<void> {
    const found = await guarded(() => api.post<Intent>(`${PATH}/${id}/query`, {}, { timeout: WAIT }))
    if (found) put(found)
  }

  async function giveBack(id: number): Promise<Intent | null> {
    const back = await guarded(() => api.post<Intent>(`${PATH}/${id}/return`, {}, { key: newKey(), timeout: WAIT }))
    if (back) intents.value = intents.value.filter((one) => one.id !== id)
    return back
  }

  async function take(id: number, entry: PaymentEntry): Promise<boolean> {
    const body = { person_id: id, channel: entry.method, amount: entry.amount, auth_code: entry.reference }
    const intent = await guarded(async () => {
      try {
        return await api.post<Intent>(PATH, body, { key: newKey(), timeout: WAIT })
      } catch (thrown) {
        const lost = asApiError(thrown)
        // The payer may have paid although we were not told: the server knows.
        if (lost.unknown) {
          await read(id)
          throw refuse('payment.lost', '收款请求没有得到应答，请看下方扫码收款的状态，不明时先“查询结果”，不要重复扫码')
        }
        throw lost
      }
    })
    if (!intent) return false
    if (intent.state === 'refused') {
      error.value = refuse('payment.refused', `扫码收款失败：${intent.message ?? '渠道拒绝'}`)
      return false
    }
    entries.value = entries.value.filter((one) => one.method !== entry.method)
    put(intent)
    return intent.state === 'confirmed'
  }

  async function collect(paid: PaymentEntry[], state: PaymentState): Promise<WirePayment[] | null> {
    const id = person()
    if (id === null || busy.value) return null
    const before = promisedTotal.value
    await reading
    if (promisedTotal.value !== before) {
      error.value = refuse('payment.found', '该病人有尚未使用的扫码收款，应收金额已变，请核对后再收款')
      return null
    }
    if (pending.value.length) {
      error.value = refuse('payment.pending', '还有结果不明的扫码收款，请先查询结果，再收款')
      return null
    }
    for (const entry of paid.filter((one) => one.method !== 'cash')) {
      if (!/^\d{16,32}$/.test(entry.reference ?? '')) {
        error.value = refuse('payment.code', '请扫病人的付款码（16 至 32 位数字）')
        return null
      }
      if (!(await take(id, entry))) return null
    }
    const cash = paid.find((one) => one.method === 'cash')
    return [
      ...received.value.map((one) => ({ method: one.channel, covers: one.amount, intent_id: one.id })),
      ...(cash ? [{ method: 'cash', covers: state.cash_due, tendered: cash.tendered }] : []),
    ]
  }

  function clear(): void {
    intents.value = []
    error.value = null
  }

  return { intents, busy, error, received, receivedTotal, promisedTotal, covered, pending, refresh, query, giveBack, collect, clear }
}
