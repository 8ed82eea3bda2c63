/** Shapes and words that the infusion pages share. */
import type { Row, Tone } from '@/lib/types'

export interface Drug extends Row { id: number; name: string; spec: string; dose: string; dose_unit: string; skin_test: boolean }
export interface Bottle extends Row { id: number; label_no: string; state: string; turn: number; usage: string; frequency: string; speed: number | null; prints: number; untested: string; drugs: Drug[]; prepared_by_name: string; started_by_name: string; ended_by_name: string; started_at: string | null; reason: string }
export interface Infusion extends Row { id: number; number: string; queue_no: number; state: string; seat: string | null; seat_id: number | null; running_bottle_id: number | null; person: Row; bottles: Bottle[]; rounds: Row[] }
export interface Prescription extends Row { id: number; number: string; state: string; infusion_id: number | null; made: number; turns: number; lines: Row[] }
export interface Found { person: Row | null; persons: Row[]; prescriptions: Prescription[] }
export interface Seat extends Row { id: number; code: string; area: string; infusion_id: number | null; name: string | null; bottles: number; ended: number; running_since: string | null }

export const BOTTLE: Record<string, { text: string; tone: Tone }> = {
  waiting: { text: '待配药', tone: 'warn' }, prepared: { text: '已配药', tone: 'info' }, running: { text: '输液中', tone: 'good' },
  finished: { text: '已结束', tone: 'done' }, stopped: { text: '已停止', tone: 'bad' },
}
export const INFUSION: Record<string, { text: string; tone: Tone }> = {
  waiting: { text: '候输', tone: 'warn' }, running: { text: '输液中', tone: 'good' }, finished: { text: '已结束', tone: 'done' }, cancelled: { text: '已取消', tone: 'done' },
}
export const CONDITIONS = ['正常', '滴速调整', '渗液', '红肿', '发热寒战', '皮疹', '其他不适']

/** Whole minutes since an instant. */
export const minutesSince = (at: unknown, now: number): number => Math.max(0, Math.floor((now - Date.parse(String(at))) / 60000))
