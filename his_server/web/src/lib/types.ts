/** Shapes that the server sends and every page meets. The rest comes from `npm run types`. */

export interface Person {
  id: number
  code: string
  name: string
  department: { id: number; name: string } | null
  roles: string[]
  /** What the roles are called on the screen. */
  titles: string[]
}

export interface MenuItem {
  title: string
  path: string
  /** Page file: "outpatient_billing/cashier" is modules/outpatient_billing/pages/cashier.vue. */
  page: string
  permission?: string
  /** Shortcut that opens the page from anywhere, for example "Alt+1". */
  key?: string
  hidden?: boolean
}

export interface MenuSection {
  section: string
  items: MenuItem[]
}

export interface Notice {
  id: number | string
  title: string
  body?: string
  level?: 'info' | 'warning' | 'danger'
  at?: string
  path?: string
}

export interface Session {
  user: Person
  permissions: string[]
  menu: MenuSection[]
  csrf: string
  hospital: string
  idle_seconds: number
  notices: Notice[]
}

export interface FieldError {
  /** Dotted path into the sent body: "lines.2.quantity". */
  field: string
  message: string
}

export interface ErrorBody {
  code: string
  status: number
  message: string
  errors?: FieldError[]
  trace_id?: string
}

/** One page of a keyset-paged list. */
export interface Page<T> {
  items: T[]
  next: string | null
}

export interface Patient {
  id: number
  name: string
  sex?: string
  age?: string
  birth_date?: string
  outpatient_no?: string
  inpatient_no?: string
  masked_id?: string
  masked_phone?: string
  insurance?: string
  address?: string
  allergies?: string[]
  tags?: string[]
  [extra: string]: unknown
}

export type ColumnKind =
  | 'text' | 'code' | 'money' | 'price' | 'quantity' | 'number' | 'int' | 'percent'
  | 'date' | 'datetime' | 'time' | 'status' | 'flag'

export type Align = 'left' | 'right' | 'center'

export type Tone = 'plain' | 'info' | 'good' | 'warn' | 'bad' | 'done' | 'sum'

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Row = Record<string, any>

export interface Column<T extends Row = Row> {
  key: string
  title: string
  kind?: ColumnKind | string
  /** Pixels. Without it the column shares what is left. */
  width?: number | null
  align?: Align
  /** Sum shown in the footer (the server's totals win over ours). */
  total?: boolean
  /** Stays in view when the table scrolls sideways. Only leading columns. */
  fixed?: boolean | string
  sortable?: boolean
  format?: (value: unknown, row: T) => string
  /** Colour of a status cell. */
  tone?: (value: unknown, row: T) => Tone
}

export interface ReportFilter {
  key: string
  title: string
  kind: 'date' | 'date_range' | 'month' | 'choice' | 'text' | 'flag' | 'code'
  options?: { value: string; label: string }[]
  /** For kind "date_range": names of the two parameters; "from" and "to" unless told. */
  names?: [string, string]
  /** For kind "code": the search address, answers {items:[{id, code, name}]}. */
  source?: string
  default?: string
  required?: boolean
}

/** What his_server/reporting/screen.py makes. Column widths are in half-width characters there. */
export interface ReportAnswer {
  title: string
  subtitle?: string[]
  subtitles?: string[]
  columns: Column[]
  rows: (Row | unknown[])[]
  subtotals?: { after: number; level: number; count: number; cells: Row }[]
  total?: { count: number; cells: Row } | null
  totals?: Row | null
  /** Optional picture of the same rows. */
  chart?: { kind: 'bar' | 'line' | 'pie'; category: string; series: string[] }
  truncated?: boolean
}
