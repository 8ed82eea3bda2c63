/**
 * Money and quantities as decimal strings. No floating point anywhere: values are scaled BigInts inside.
 * Rounding is half up, away from zero for negatives, like the server's one rounding function.
 */

interface Decimal {
  units: bigint
  scale: number
}

const PATTERN = /^([+-]?)(\d*)(?:\.(\d*))?$/
const TEN = BigInt(10)
const ZERO = BigInt(0)

function pow10(n: number): bigint {
  return TEN ** BigInt(n)
}

function read(text: string | number | null | undefined): Decimal {
  const clean = normalise(text)
  const match = PATTERN.exec(clean)
  if (!match || (match[2] === '' && !match[3])) throw new RangeError(`not a decimal: ${String(text)}`)
  const fraction = match[3] ?? ''
  const units = BigInt((match[2] || '0') + fraction)
  return { units: match[1] === '-' ? -units : units, scale: fraction.length }
}

function scaled(value: Decimal, scale: number): bigint {
  if (value.scale <= scale) return value.units * pow10(scale - value.scale)
  const factor = pow10(value.scale - scale)
  const negative = value.units < ZERO
  const size = negative ? -value.units : value.units
  const rounded = (size * BigInt(2) + factor) / (factor * BigInt(2))
  return negative ? -rounded : rounded
}

function write(units: bigint, scale: number): string {
  const negative = units < ZERO
  const digits = (negative ? -units : units).toString().padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const text = scale ? `${whole}.${digits.slice(digits.length - scale)}` : whole
  return negative ? `-${text}` : text
}

/** Plain ASCII form of what was typed: full-width digits, 。, thousands commas, ￥ and blanks are understood. */
export function normalise(text: string | number | null | undefined): string {
  if (text === null || text === undefined) return ''
  return String(text)
    .replace(/[０-９．－＋]/g, (c) => String.fromCharCode(c.charCodeAt(0) - 0xfee0))
    .replace(/。/g, '.')
    .replace(/[,，￥¥\s]/g, '')
}

/** Whether the text is a decimal number with at most `places` decimals. */
export function isDecimal(text: string | null | undefined, places = 4): boolean {
  const clean = normalise(text)
  const match = PATTERN.exec(clean)
  if (!match || (match[2] === '' && !match[3])) return false
  return (match[3] ?? '').length <= places && match[2].length <= 15
}

/** Rounded half up to `places`, as a string with exactly that many decimals. Throws RangeError on non-numbers. */
export function round(value: string, places = 2): string {
  return write(scaled(read(value), places), places)
}

export function add(a: string, b: string): string {
  const x = read(a)
  const y = read(b)
  const scale = Math.max(x.scale, y.scale)
  return write(scaled(x, scale) + scaled(y, scale), scale)
}

export function negate(a: string): string {
  const x = read(a)
  return write(-x.units, x.scale)
}

export function subtract(a: string, b: string): string {
  return add(a, negate(b))
}

/** price × quantity, rounded half up (2 places unless told). */
export function multiply(a: string, b: string, places = 2): string {
  const x = read(a)
  const y = read(b)
  return write(scaled({ units: x.units * y.units, scale: x.scale + y.scale }, places), places)
}

/** Sum to 2 places; empty values count as nothing. */
export function sum(values: Iterable<string | null | undefined>, places = 2): string {
  let total = '0'
  for (const value of values) if (value !== null && value !== undefined && value !== '') total = add(total, value)
  return round(total, places)
}

/** -1, 0 or 1. */
export function compare(a: string, b: string): number {
  const x = read(a)
  const y = read(b)
  const scale = Math.max(x.scale, y.scale)
  const p = scaled(x, scale)
  const q = scaled(y, scale)
  return p < q ? -1 : p > q ? 1 : 0
}

export function isZero(a: string): boolean {
  return read(a).units === ZERO
}

export function isNegative(a: string): boolean {
  return read(a).units < ZERO
}

export function min(a: string, b: string): string {
  return compare(a, b) <= 0 ? a : b
}

/** Cash is handed over in jiao: the payable amount and the difference (payable − amount) as its own line. */
export function toJiao(amount: string): { payable: string; difference: string } {
  const payable = round(round(amount, 1), 2)
  return { payable, difference: round(subtract(payable, amount), 2) }
}

/** Shown form: "12,345.60". Empty stays empty; what is not a number is shown as it came. */
export function formatMoney(value: unknown, places = 2): string {
  if (value === null || value === undefined || value === '') return ''
  const text = String(value)
  if (!isDecimal(text, 12)) return text
  const [whole, fraction] = round(text, places).split('.')
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ',')
  return fraction === undefined ? grouped : `${grouped}.${fraction}`
}

/** Unit price: at least 2, at most 4 decimals ("3.2" → "3.20", "0.0350" → "0.035"). */
export function formatPrice(value: unknown): string {
  if (value === null || value === undefined || value === '') return ''
  const text = String(value)
  if (!isDecimal(text, 12)) return text
  const long = formatMoney(text, 4)
  return long.replace(/(\.\d{2})(\d*?)0*$/, '$1$2')
}

/** Quantity without trailing zeros ("2.000" → "2"). */
export function formatQuantity(value: unknown): string {
  if (value === null || value === undefined || value === '') return ''
  const text = normalise(String(value))
  if (!isDecimal(text, 12)) return String(value)
  return text.includes('.') ? text.replace(/\.?0+$/, '') || '0' : text
}

/** A count with thousands separators, decimals as they are. */
export function formatNumber(value: unknown): string {
  const text = formatQuantity(value)
  const [whole, fraction] = text.split('.')
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ',')
  return fraction === undefined ? grouped : `${grouped}.${fraction}`
}
