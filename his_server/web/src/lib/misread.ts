/** A field whose text is wrong keeps its last right value: nothing is confirmed while one stands there. */
import { toast } from './toast'

/**
 * Whether such a field (an amount, a quantity, a date) stands in the dialog or page that `from` is in; what is being typed
 * is taken first. It gets the focus, and a message says what is wrong with it.
 */
export function misread(from: Element | null | undefined): boolean {
  const scope = from?.closest('.modal-box, .page')
  const here = document.activeElement
  if (here instanceof HTMLInputElement && scope?.contains(here)) here.dispatchEvent(new Event('change'))
  const field = Array.from(scope?.querySelectorAll('input') ?? []).find((one) => one.validity.customError && one.getClientRects().length > 0)
  if (!field) return false
  field.focus()
  toast.warn(`${field.getAttribute('aria-label') ?? '输入'}：${field.validationMessage}`, '请改正或清空后再确认')
  return true
}
