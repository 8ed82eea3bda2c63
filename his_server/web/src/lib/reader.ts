/** The card reader agent on the workstation: docs/interfaces/reader-agent.md. */
import { ApiError } from './api'

export interface Card {
  kind: 'id_card' | 'insurance' | 'hospital_card'
  id_no?: string
  name?: string
  sex?: string
  birth_date?: string
  address?: string
  card_no?: string
  photo?: string
}

const DEFAULT = 'http://127.0.0.1:18700'
const TEXTS: Record<string, string> = {
  no_card: '没有读到卡，请把卡放在读卡器上再试',
  no_reader: '读卡器没有连接，请检查 USB 线后再试',
  busy: '读卡器正忙，请稍候再试',
  unreadable: '这张卡读不出来，请擦拭后重放，或直接输入证件号码',
}

function fail(code: string, message: string): ApiError {
  return new ApiError({ code: `reader.${code}`, status: 0, message })
}

/** Address of the agent; a workstation may set another port in localStorage "his.reader". */
export function readerAddress(): string {
  const set = localStorage.getItem('his.reader')
  return set && /^http:\/\/127\.0\.0\.1:\d+$/.test(set) ? set : DEFAULT
}

/** Reads the card on the reader. Throws ApiError with what to do. */
export async function readCard(signal?: AbortSignal): Promise<Card> {
  let response: Response
  try {
    response = await fetch(`${readerAddress()}/v1/card/read`, { signal, credentials: 'omit', cache: 'no-store', mode: 'cors' })
  } catch (error) {
    if (signal?.aborted) throw error
    throw fail('no_agent', '本机的读卡程序没有运行，请启动读卡程序，或直接输入证件号码')
  }
  const body = (await response.json().catch(() => ({}))) as Card & { code?: string; message?: string }
  if (!response.ok) {
    const code = body.code ?? 'unreadable'
    throw fail(code, TEXTS[code] ?? body.message ?? TEXTS.unreadable)
  }
  return body
}
