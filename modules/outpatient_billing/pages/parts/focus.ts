/** Moving the focus after waiting, without taking it from somebody who has gone on typing elsewhere. */
interface Focusable { focus: () => void }

/**
 * Remembers where the focus is now. What it gives moves the focus to `to`, unless a person has moved it meanwhile, and
 * never behind an open dialog: closing it leads there anyway.
 * Waits first until a closing dialog has given the focus back.
 */
export async function focusLater(): Promise<(to: Focusable | null | undefined) => void> {
  await new Promise((resolve) => setTimeout(resolve))
  const before = document.activeElement
  return (to) => {
    const now = document.activeElement
    if (document.querySelector('.modal-box')) return
    if (now === before || now === null || now === document.body) to?.focus()
  }
}
