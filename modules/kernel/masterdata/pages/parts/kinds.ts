/** The catalogues that are kept by hand: where they are, what their list shows, what their form asks for. */
import { reactive } from 'vue'
import { api } from '@/lib/api'
import type { Column, Row } from '@/lib/types'

export interface Option { value: string; label: string }

export interface Field {
  key: string
  title: string
  /** text, whole number, exact quantity, price, a choice, yes or no, a department by search, several codes. */
  kind?: 'text' | 'int' | 'quantity' | 'price' | 'choice' | 'flag' | 'department' | 'several'
  required?: boolean
  /** Dictionary of the choices, or the choices themselves. */
  dictionary?: string
  options?: Option[]
  max?: number
  hint?: string
  wide?: boolean
  /** Asked of new rows only (code, first price). */
  fresh?: boolean
}

export interface Kept {
  key: string
  title: string
  path: string
  permission: string
  priced: boolean
  /** What one of it is called: 新增药品. */
  one: string
  columns: Column[]
  fields: Field[]
  /** Unit that the price is for. */
  unit?: string
  stopping: string[]
  resuming: string[]
  /** Extra query of its list. */
  states: boolean
}

/** Names of dictionary codes, asked for once; empty until they are here. */
const names = reactive<Record<string, Option[]>>({})
export function choices(dictionary: string): Option[] {
  if (!names[dictionary]) {
    names[dictionary] = []
    const path = dictionary === 'frequencies' ? 'masterdata/frequencies' : `masterdata/dictionaries/${dictionary}`
    void api.get<{ items: Row[] }>(path).then(
      (found) => (names[dictionary] = found.items.map((one) => ({ value: String(one.code), label: String(one.name) }))), () => delete names[dictionary])
  }
  return names[dictionary] ?? []
}
export const nameOf = (dictionary: string, code: unknown): string => choices(dictionary).find((one) => one.value === code)?.label ?? String(code ?? '')

const same = (...values: string[]): Option[] => values.map((value) => ({ value, label: value }))
const CODE: Column = { key: 'code', title: '编码', kind: 'code', width: 96 }
const STATE: Column = { key: 'active', title: '状态', kind: 'status', width: 62, format: (v) => (v ? '在用' : '停用'), tone: (v) => (v ? 'good' : 'bad') }
const CATEGORY: Column = { key: 'fiscal_category', title: '费别', width: 84, format: (v) => nameOf('med_chrgitm_type', v) }
const LEVEL: Column = { key: 'insurance_level', title: '医保', width: 52, align: 'center', format: (v) => nameOf('chrgitm_lv', v).slice(0, 2) }
const price = (title: string, width: number): Column => ({ key: 'price', title, kind: 'price', width })

const codeField = (max: number, title = '编码'): Field => ({ key: 'code', title, required: true, max, fresh: true, hint: '保存后不能修改' })
const nameField = (max: number, title = '名称'): Field => ({ key: 'name', title, required: true, max, wide: true })
const aliases: Field = { key: 'aliases', title: '别名', max: 200, wide: true, hint: '多个用逗号分开，都能查到' }
const insurance: Field = { key: 'insurance_level', title: '医保等级', kind: 'choice', dictionary: 'chrgitm_lv', required: true }
const place: Field = { key: 'department_id', title: '科室', kind: 'department', required: true }

export const DRUGS: Kept = {
  key: 'drugs', title: '药品', one: '药品', path: 'masterdata/drugs', permission: 'masterdata.edit', priced: true, unit: 'pack_unit', states: true,
  stopping: ['停产', '不再采购', '质量问题'], resuming: ['恢复供应'],
  columns: [{ ...CODE, width: 82 }, { key: 'name', title: '名称', width: 168 }, { key: 'spec', title: '规格', width: 146 }, price('包装价', 82),
    { ...STATE, width: 58 }, { ...CATEGORY, width: 70 }, { ...LEVEL, width: 48 }, { key: 'control', title: '管制', width: 50, align: 'center', format: (v) => (v === '普通' ? '' : String(v)) },
    { key: 'antimicrobial', title: '抗菌', width: 58 }, { key: 'manufacturer', title: '生产厂家' }],
  fields: [
    codeField(40), nameField(120), { key: 'spec', title: '规格', required: true, max: 80 }, { key: 'form', title: '剂型', kind: 'choice', dictionary: 'dosage_form', required: true },
    { key: 'dose_amount', title: '每最小单位含量', kind: 'quantity' }, { key: 'dose_unit', title: '剂量单位', max: 20, hint: '如 g、mg、万单位' },
    { key: 'base_unit', title: '最小单位', required: true, max: 20, hint: '如 片、支' }, { key: 'pack_unit', title: '包装单位', required: true, max: 20, hint: '如 盒、瓶' },
    { key: 'pack_size', title: '包装数量', kind: 'int', required: true, hint: '每包装多少最小单位' }, { key: 'price', title: '包装价（元）', kind: 'price', required: true, fresh: true, hint: '今天起用' },
    { key: 'fiscal_category', title: '药品类别', kind: 'choice', dictionary: 'drug_category', required: true }, insurance,
    { key: 'manufacturer', title: '生产厂家', max: 120, wide: true },
    { key: 'control', title: '管制', kind: 'choice', dictionary: 'drug_control', required: true }, { key: 'antimicrobial', title: '抗菌级别', kind: 'choice', dictionary: 'antimicrobial_level' },
    { key: 'default_usage', title: '默认用法', kind: 'choice', dictionary: 'usage' }, { key: 'default_frequency', title: '默认频次', kind: 'choice', dictionary: 'frequencies' },
    { key: 'splittable', title: '可拆零', kind: 'flag' }, { key: 'skin_test', title: '须皮试', kind: 'flag' }, { key: 'tb', title: '结核免费药', kind: 'flag' }, { key: 'otc', title: '非处方药', kind: 'flag' }, aliases],
}
export const ITEMS: Kept = {
  key: 'items', title: '收费项目', one: '收费项目', path: 'masterdata/charge-items', permission: 'masterdata.edit', priced: true, unit: 'unit', states: true,
  stopping: ['停止开展', '物价取消', '并入其他项目'], resuming: ['恢复开展'],
  columns: [CODE, { key: 'name', title: '名称' }, { key: 'unit', title: '单位', width: 60, align: 'center' }, CATEGORY, LEVEL, { key: 'performing_kind', title: '执行类别', width: 84 }, price('单价', 100), STATE],
  fields: [codeField(40), nameField(120), { key: 'unit', title: '单位', required: true, max: 20 }, { key: 'price', title: '单价（元）', kind: 'price', required: true, fresh: true, hint: '今天起用' },
    { key: 'fiscal_category', title: '费用类别', kind: 'choice', dictionary: 'med_chrgitm_type', required: true }, insurance,
    { key: 'performing_kind', title: '执行类别', kind: 'choice', dictionary: 'performing_kind', required: true }, aliases],
}
export const DIAGNOSES: Kept = {
  key: 'diagnoses', title: '诊断', one: '诊断', path: 'masterdata/diagnoses', permission: 'masterdata.edit', priced: false, states: true,
  stopping: ['编码停用', '与其他诊断重复'], resuming: ['恢复使用'],
  columns: [{ ...CODE, width: 120 }, { key: 'name', title: '名称' }, { key: 'category', title: '分类', width: 220 }, STATE],
  fields: [codeField(40), nameField(120), { key: 'category', title: '分类', max: 60, wide: true }, aliases],
}
export const DEPARTMENTS: Kept = {
  key: 'departments', title: '科室', one: '科室', path: 'masterdata/departments', permission: 'masterdata.organise', priced: false, states: true,
  stopping: ['撤销', '并入其他科室'], resuming: ['恢复设置'],
  columns: [CODE, { key: 'name', title: '名称' }, { key: 'kind', title: '类别', width: 80 }, { key: 'building', title: '楼宇', width: 140 },
    { key: 'outpatient', title: '门诊', kind: 'flag', width: 60 }, { key: 'emergency', title: '急诊', kind: 'flag', width: 60 }, STATE],
  fields: [codeField(20), nameField(60), { key: 'kind', title: '类别', kind: 'choice', options: same('临床', '医技', '药房', '行政', '收费'), required: true },
    { key: 'parent_id', title: '上级科室', kind: 'department' }, { key: 'building', title: '楼宇', kind: 'choice', dictionary: 'building' },
    { key: 'outpatient', title: '开设门诊', kind: 'flag' }, { key: 'emergency', title: '开设急诊', kind: 'flag' }],
}
export const WARDS: Kept = {
  key: 'wards', title: '病区', one: '病区', path: 'masterdata/wards', permission: 'masterdata.organise', priced: false, states: true,
  stopping: ['撤销', '并入其他病区'], resuming: ['恢复设置'],
  columns: [CODE, { key: 'name', title: '名称' }, { key: 'department', title: '科室', width: 280 }, { key: 'beds', title: '床位数', kind: 'int', width: 80 }, STATE],
  fields: [codeField(20), nameField(60), place, { key: 'beds', title: '床位数', kind: 'int', required: true }],
}
export const STAFF: Kept = {
  key: 'staff', title: '人员', one: '人员', path: 'masterdata/staff', permission: 'masterdata.organise', priced: false, states: true,
  stopping: ['离职', '退休', '调出'], resuming: ['返岗'],
  columns: [{ ...CODE, title: '工号' }, { key: 'name', title: '姓名', width: 120 }, { key: 'sex', title: '性别', width: 56, align: 'center', format: (v) => nameOf('sex', v).slice(0, 1) }, { key: 'department', title: '科室' },
    { key: 'title', title: '职称', width: 130 }, { key: 'role', title: '岗位', width: 110, format: (v) => nameOf('staff_role', v) }, STATE],
  fields: [codeField(20, '工号'), nameField(60, '姓名'), { key: 'sex', title: '性别', kind: 'choice', dictionary: 'sex', required: true }, place,
    { key: 'title', title: '职称', kind: 'choice', dictionary: 'staff_title' }, { key: 'role', title: '岗位', kind: 'choice', dictionary: 'staff_role' },
    { key: 'rights', title: '处方权', kind: 'several', dictionary: 'prescribing_right', wide: true }],
}
