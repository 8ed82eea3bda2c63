import { shallowRef } from 'vue'

export interface Question {
  title: string
  text?: string
  yes?: string
  no?: string
  tone?: 'plain' | 'bad'
  /** The key that says yes where Enter mustn't: a scanner ends each code with it. */
  key?: string
  /** Asks for a reason of at least two characters; the answer is that text. */
  reason?: { label: string; suggestions?: string[] }
}

interface Asked extends Question {
  answer: (value: string | null) => void
}

export const asked = shallowRef<Asked | null>(null)

function ask(question: Question): Promise<string | null> {
  asked.value?.answer(null)
  return new Promise((resolve) => {
    asked.value = {
      ...question,
      answer: (value) => {
        asked.value = null
        resolve(value)
      },
    }
  })
}

/** Asks before something that can't be undone. Enter (or `key`) is yes, Esc is no. */
export async function confirm(question: Question): Promise<boolean> {
  return (await ask(question)) !== null
}

/** Asks for a reason (refunds, voids): the text, or null when cancelled. */
export async function askReason(question: Question & { reason: { label: string; suggestions?: string[] } }): Promise<string | null> {
  return ask(question)
}
