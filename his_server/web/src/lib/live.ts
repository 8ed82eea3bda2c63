/** Live topics: server-sent events, polling when they don't come through (old proxies). */
import { getCurrentInstance, onActivated, onBeforeUnmount, onDeactivated, ref, type Ref } from 'vue'

export interface Live {
  /** events: pushed; polling: asked for every few seconds; off: not running. */
  state: Ref<'events' | 'polling' | 'off'>
  close: () => void
}

/**
 * Listens to /api/live/<topic> and calls `changed` with each event's JSON. `poll` is called every `every`
 * milliseconds while events can't be had, and once after each reconnection (something may have been missed).
 * Inside a component it stops with it, and rests while the tab of the shell is not shown.
 */
export function useLive(topic: string, changed: (data: unknown) => void, poll: () => void, every = 5000): Live {
  const state = ref<'events' | 'polling' | 'off'>('off')
  let source: EventSource | null = null
  let timer = 0
  let failures = 0
  let retry = 0

  function startPolling(): void {
    if (timer) return
    state.value = 'polling'
    timer = window.setInterval(() => {
      if (!document.hidden) poll()
    }, every)
  }

  function stopPolling(): void {
    window.clearInterval(timer)
    timer = 0
  }

  function open(): void {
    if (source) return
    if (!('EventSource' in window)) return startPolling()
    source = new EventSource(`/api/live/${topic}`)
    source.onopen = () => {
      const missed = failures > 0 || timer > 0
      failures = 0
      stopPolling()
      state.value = 'events'
      if (missed) poll()
    }
    source.onmessage = (event) => {
      let data: unknown
      try {
        data = JSON.parse(event.data as string)
      } catch {
        data = null
      }
      changed(data)
    }
    source.onerror = () => {
      failures += 1
      startPolling()
      // A closed source (HTTP error, wrong type) doesn't come back by itself.
      if (source?.readyState === EventSource.CLOSED) {
        source = null
        window.clearTimeout(retry)
        retry = window.setTimeout(open, Math.min(60_000, 5000 * failures))
      }
    }
  }

  function close(): void {
    source?.close()
    source = null
    window.clearTimeout(retry)
    stopPolling()
    state.value = 'off'
  }

  open()
  if (getCurrentInstance()) {
    onActivated(() => {
      if (state.value === 'off') {
        failures = 1
        open()
      }
    })
    onDeactivated(close)
    onBeforeUnmount(close)
  }
  return { state, close }
}
