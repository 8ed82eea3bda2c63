/** A reason that has to be given: its text, what is wrong with it once somebody tried to go on without, its field. */
import { computed, ref } from 'vue'

export function useReason() {
  const text = ref('')
  const tried = ref(false)
  let box: { focus: () => void } | null = null
  /** Template ref of the field (`:ref="hold"`). */
  function hold(one: unknown): void {
    box = one as typeof box
  }
  const said = computed(() => text.value.trim().length >= 2)
  const error = computed(() => (tried.value && !said.value ? '请填写原因，至少 2 个字' : ''))
  /** Whether there is one; else the field says so and has the focus. */
  function given(): boolean {
    tried.value = true
    if (!said.value) box?.focus()
    return said.value
  }
  function reset(): void {
    text.value = ''
    tried.value = false
  }
  return { text, hold, error, given, reset }
}
