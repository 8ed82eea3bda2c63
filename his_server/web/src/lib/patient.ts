import { onActivated, onBeforeUnmount, onDeactivated, onMounted } from 'vue'
import type { Patient } from './types'

const SEXES: Record<string, string> = { '0': '未知', '1': '男', '2': '女', '9': '未说明' }
/** Name of a sex code (GB/T 2261.1); what is a name already stays. */
export const sexName = (code: unknown): string => SEXES[String(code)] ?? String(code ?? '')

/** While the page is in front, the person chosen in the shell's search (F2) comes to it instead of opening a new tab. */
export function usePatient(found: (patient: Patient) => void): void {
  const take = (event: Event) => {
    event.preventDefault()
    found((event as CustomEvent<Patient>).detail)
  }
  const on = () => window.addEventListener('his:patient', take)
  const off = () => window.removeEventListener('his:patient', take)
  onMounted(on)
  onActivated(on)
  onDeactivated(off)
  onBeforeUnmount(off)
}
