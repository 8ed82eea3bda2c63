/** Live topics: server-sent events, polling when they don't come through (old proxies). */
import { state } from './session'
import { getCurrentInstance, onActivated, onBeforeUnmount, onDeactivated, ref, type Ref } from 'vue'

export interface Live {
  /** events: pushed; polling: asked for every few seconds; off: not running. */
  state: Ref<'events' | 'polling' | 'off'>
  close: () => void
}

// The server answers with what changed and hangs up; the browser comes back by itself after 2 s. That is no failure.
const SILENT = 12_000

/**
 * Listens to /api/live/<topic> (a query may follow) and calls `changed` with each event's JSON, also with the state
 * at the start. `poll` is called every `every` milliseconds while events can't be had, and once when they are back.
 * Inside a component it stops with it, and rests while the tab of the shell is not shown.
 */
export function useLive(topic: string, changed: (data: unknown) => void, poll: () => void, every = 5000): Live {
  const mode = ref<'events' | 'polling' | 'off'>('off')
  let source: EventSource | null = null
  let timer = 0
  let failures = 0
  let retry = 0
  let heard = Date.now()

  function startPolling(): void {
    if (timer) return
    mode.value = 'polling'
    timer = window.setInterval(() => {
      if (!document.hidden && state.stage === 'signed-in') poll()
    }, every)
  }

  function stopPolling(): void {
    window.clearInterval(timer)
    timer = 0
  }

  function open(): void {
    if (source) return
    heard = Date.now()
    if (!('EventSource' in window)) return startPolling()
    source = new EventSource(`/api/live/${topic}`)
    source.onopen = () => {
      const missed = timer > 0
      failures = 0
      heard = Date.now()
      stopPolling()
      mode.value = 'events'
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
      if (source?.readyState !== EventSource.CLOSED && Date.now() - heard < SILENT) return
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
    mode.value = 'off'
  }

  open()
  let resting = false
  if (getCurrentInstance()) {
    onActivated(() => {
      if (resting) {
        resting = false
        open()
        poll()
      }
    })
    onDeactivated(() => {
      resting = true
      close()
    })
    onBeforeUnmount(close)
  }
  return { state: mode, close }
}
