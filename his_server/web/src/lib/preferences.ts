/** What this person last chose (M7.6): kept on the server under a name, so that it follows to any workstation. */
import { ref, watch, type Ref } from 'vue'
import { api } from './api'
import { state } from './session'

let known: Promise<Record<string, string>> | null = null
let owner = 0

function all(): Promise<Record<string, string>> {
  const me = state.session?.user.id ?? 0
  if (!known || owner !== me) {
    owner = me
    const asked = api.get<{ items: Record<string, string> }>('preferences').then((answer) => answer.items)
    asked.catch(() => { if (known === asked) known = null })
    known = asked
  }
  return known
}

/**
 * A remembered choice. `value` begins as `initial` and becomes what was kept as soon as that is known (await `ready`);
 * each later change is kept. Where the server can't be reached the choice simply isn't remembered: work goes on.
 */
export function usePreference(name: string, initial: string): { value: Ref<string>; ready: Promise<void> } {
  const value = ref(initial)
  let loaded = false
  let touched = false
  const ready = all().then((items) => {
    if (!touched && items[name] !== undefined) value.value = items[name]
    loaded = true
  }, () => { loaded = true })
  watch(value, (chosen) => {
    if (!loaded) { touched = true }
    void all().then((items) => {
      if (items[name] === chosen) return
      items[name] = chosen
      return api.put(`preferences/${name}`, { chosen }).catch(() => { delete items[name] })
    }, () => undefined)
  })
  return { value, ready }
}
