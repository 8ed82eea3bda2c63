const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
const CHECKS = '10X98765432'

/** Whether an 18-digit resident ID number has a real date and the right check digit (GB 11643-1999). */
export function isIdNumber(text: string): boolean {
  const id = text.trim().toUpperCase()
  if (!/^\d{17}[\dX]$/.test(id)) return false
  const birth = `${id.slice(6, 10)}-${id.slice(10, 12)}-${id.slice(12, 14)}`
  const date = new Date(`${birth}T00:00:00Z`)
  if (Number.isNaN(date.getTime()) || date.toISOString().slice(0, 10) !== birth) return false
  const total = WEIGHTS.reduce((sum, weight, i) => sum + weight * Number(id[i]), 0)
  return CHECKS[total % 11] === id[17]
}

/** Birth date and sex that an ID number states, or null when it isn't valid. */
export function fromIdNumber(text: string): { birth_date: string; sex: '男' | '女' } | null {
  if (!isIdNumber(text)) return null
  const id = text.trim()
  return {
    birth_date: `${id.slice(6, 10)}-${id.slice(10, 12)}-${id.slice(12, 14)}`,
    sex: Number(id[16]) % 2 ? '男' : '女',
  }
}
