/** One print path: the server makes a PDF, a hidden frame prints it. Printing never blocks or undoes anything. */
import { ref } from 'vue'
import { asApiError, fileName, saveBlob, send, type ApiError } from './api'

export interface PrintJob {
  title: string
  path: string
  query?: Record<string, unknown>
  /** Printing that is counted on the server is a POST; plain documents are GET. */
  method?: 'GET' | 'POST'
  body?: unknown
}

/** The last job, so that "补打" works from anywhere; and a failed one, shown until printed or dismissed. */
export const lastJob = ref<PrintJob | null>(null)
export const failedJob = ref<{ job: PrintJob; error: ApiError } | null>(null)

let frame: HTMLIFrameElement | null = null
/** Where the typing was when the print began. */
let typing: HTMLElement | null = null

// The PDF viewer in the frame takes the focus, and with it every key: the page takes it back.
window.addEventListener('blur', () => {
  if (frame && document.activeElement === frame) backToWork()
})

function backToWork(): void {
  window.focus()
  if (typing && document.contains(typing)) typing.focus()
  else frame?.blur()
}

function show(url: string): Promise<void> {
  const active = document.activeElement as HTMLElement | null
  if (active !== frame) typing = active
  frame?.remove()
  const mine = document.createElement('iframe')
  frame = mine
  mine.className = 'print-frame'
  mine.title = '打印'
  mine.setAttribute('aria-hidden', 'true')
  mine.tabIndex = -1
  return new Promise((resolve, reject) => {
    mine.onload = () => {
      try {
        mine.contentWindow?.print()
        if (document.activeElement === mine) backToWork()
        resolve()
      } catch (error) {
        reject(error)
      }
    }
    mine.src = url
    document.body.appendChild(mine)
  })
}

/**
 * Fetches the PDF and opens the browser's print dialog (or prints at once where the workstation's browser
 * is set so). Gives whether it worked; a failure is kept in `failedJob` for "再次打印" and never thrown.
 */
export async function printPdf(job: PrintJob): Promise<boolean> {
  lastJob.value = job
  try {
    const method = job.method ?? 'GET'
    const response = await send(method, job.path, method === 'POST' ? job.body ?? {} : undefined, {
      query: job.query, timeout: 120_000, headers: { Accept: 'application/pdf' },
    })
    const blob = await response.blob()
    const url = URL.createObjectURL(new Blob([blob], { type: 'application/pdf' }))
    try {
      await show(url)
    } catch {
      // No PDF viewer in this browser: hand over the file instead.
      saveBlob(blob, fileName(response.headers.get('Content-Disposition')) || `${job.title}.pdf`)
    }
    setTimeout(() => URL.revokeObjectURL(url), 600_000)
    failedJob.value = null
    return true
  } catch (error) {
    failedJob.value = { job, error: asApiError(error) }
    return false
  }
}

/** Prints the last document again; the server counts it and marks it 补打. */
export async function reprint(): Promise<boolean> {
  return lastJob.value ? printPdf(lastJob.value) : false
}
