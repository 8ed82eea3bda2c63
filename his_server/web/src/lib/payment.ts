/** The arithmetic of a payment panel: pure, decimal strings. */
import { compare, isDecimal, isZero, round, subtract, sum, toJiao } from './money'

export interface PaymentMethod {
  code: string
  name: string
  /** cash: rounded to the jiao, gives change. scan: through the payment port. other: booked as said. */
  kind: 'cash' | 'scan' | 'other'
  key?: string
}

export interface PaymentEntry {
  method: string
  amount: string
  /** Cash handed over by the patient. */
  tendered?: string
  /** Auth code read from the patient's phone, card slip number, … */
  reference?: string
}

export interface PaymentState {
  due: string
  /** What entries other than cash cover. */
  covered: string
  /** What cash has to cover before rounding. */
  cash_due: string
  /** What is asked for in cash, to the jiao. */
  cash_payable: string
  /** cash_payable − cash_due; the server books it as its own line. */
  rounding: string
  tendered: string
  change: string
  /** Still missing (positive) or too much (negative). */
  open: string
  ready: boolean
  problem: string
}

/**
 * State of a payment from what is due and the entries so far. Cash covers what the others leave,
 * rounded to the jiao. `cash` says whether a cash entry is part of it.
 */
export function paymentState(due: string, entries: PaymentEntry[], methods: PaymentMethod[]): PaymentState {
  const kind = (entry: PaymentEntry) => methods.find((method) => method.code === entry.method)?.kind ?? 'other'
  const amount = (entry: PaymentEntry) => (isDecimal(entry.amount, 2) ? round(entry.amount) : '0.00')
  const others = entries.filter((entry) => kind(entry) !== 'cash')
  const cash = entries.find((entry) => kind(entry) === 'cash')
  const covered = sum(others.map(amount))
  const left = round(subtract(due, covered))
  const state: PaymentState = {
    due: round(due), covered, cash_due: '0.00', cash_payable: '0.00', rounding: '0.00',
    tendered: '0.00', change: '0.00', open: left, ready: false, problem: '',
  }
  if (compare(left, '0') < 0) return { ...state, problem: `多收 ${subtract('0', left)} 元，请改小金额` }
  if (!cash) {
    const ready = isZero(left)
    return { ...state, ready, problem: ready ? '' : `还差 ${left} 元` }
  }
  if (isZero(left)) {
    const idle = !cash.tendered || isZero(cash.tendered)
    return { ...state, ready: idle, problem: idle ? '' : '其他方式已经付清，请去掉现金或改小其他金额' }
  }
  const { payable, difference } = toJiao(left)
  const given = cash.tendered && isDecimal(cash.tendered, 2) ? round(cash.tendered) : payable
  const change = round(subtract(given, payable))
  const enough = compare(change, '0') >= 0
  return {
    ...state,
    cash_due: left, cash_payable: payable, rounding: difference, tendered: given,
    change: enough ? change : '0.00', open: enough ? '0.00' : round(subtract(payable, given)),
    ready: enough, problem: enough ? '' : `现金还差 ${round(subtract(payable, given))} 元`,
  }
}

/** The entries as the server wants them: cash amount is what is booked, rounding is booked by the server. */
export function paymentBody(state: PaymentState, entries: PaymentEntry[], methods: PaymentMethod[]): PaymentEntry[] {
  return entries
    .map((entry) => {
      const cash = methods.find((method) => method.code === entry.method)?.kind === 'cash'
      return cash ? { method: entry.method, amount: state.cash_payable, tendered: state.tendered }
        : { ...entry, amount: round(entry.amount || '0') }
    })
    // Cash of 0.00 is said only where rounding made it so (4 fen due): the server books the rounding.
    .filter((entry) => !isZero(entry.amount) || (entry.tendered !== undefined && !isZero(state.cash_due)))
}
