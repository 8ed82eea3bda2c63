/** Words of the call log. */
export type Tone = 'good' | 'warn' | 'bad' | 'info'

export const OUTCOMES: Record<string, { text: string; tone: Tone }> = {
  ok: { text: '成功', tone: 'good' }, refused: { text: '被拒绝', tone: 'warn' }, unknown: { text: '结果未明', tone: 'bad' },
  failed: { text: '未发出', tone: 'bad' }, waiting: { text: '等待', tone: 'info' },
}
export const outcomeText = (value: unknown): string => OUTCOMES[String(value)]?.text ?? String(value)
export const outcomeTone = (value: unknown): Tone => OUTCOMES[String(value)]?.tone ?? 'info'
export const KINDS: Record<string, string> = { call: '调用', event: '事件', delivery: '投递', act: '操作' }
