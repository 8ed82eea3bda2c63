/** What the fields of a refusal are called on the screens. Row numbers count from 1; a key in their place is left out. */
import type { FieldError } from './types'

const NAMES: Record<string, string> = {
  account: '账号', address: '地址', allergies: '过敏史', amount: '金额', answer: '答复', balance: '余额', batch_id: '批次',
  birth_date: '出生日期', boxes: '盒数', capacity: '号数', card_sn: '卡识别码', cash: '现金', cert_no: '证件号',
  check_reason: '复核意见', code: '编码', codes: '追溯码', consultant_id: '会诊医生', count: '张数', counted: '清点数',
  counted_cash: '清点现金', covers: '金额', credential: '医保凭证', day: '日期', days: '天数', default_frequency: '频次',
  department: '科室', department_id: '科室', diagnosis: '诊断', diagnosis_code: '诊断', doctor_id: '医生', dose: '剂量',
  dose_unit: '剂量单位', drug_id: '药品', encounter_id: '就诊', expected_total: '应收金额', expiry: '有效期至',
  extension_reason: '延长理由', first: '起始号', frequency: '频次', holder_id: '领用人', home_postcode: '邮政编码',
  id_no: '证件号', id_type: '证件类型', insurance: '费别', intent_id: '扫码收款', item_id: '项目', kind: '类别',
  label_code: '瓶签', last: '终止号', least: '下限', level: '号别', lines: '明细', list_type: '目录类别', login: '账号',
  lot_no: '批号', manufacturer: '生产企业', method: '支付方式', most: '上限', mother_id: '母亲', name: '名称', note: '说明',
  number: '号码', other_store_id: '对方库房', outpatient_no: '门诊号', pack_cost: '进价', pack_size: '包装规格',
  parent_id: '上级', password: '口令', patient_code: '病人', payments: '收款', performing_department_id: '执行科室',
  period: '时段', person_id: '病人', phone: '电话', position: '顺序', price: '价格', purpose: '用药目的', q: '查找内容',
  quantity: '数量', ratio: '换算比', reason: '原因', reference: '付款码或参考号', reject_reason: '拒收原因', rejected: '拒收数量',
  returns: '退回方式', revision: '版本', seat_id: '座位', session_id: '号源', sex: '性别', shelf: '货位', spec: '规格',
  speed: '滴速', store_id: '库房', supplier_id: '供应商', tendered: '实付', text: '内容', title: '标题', total: '合计',
  trace_code: '追溯码', unit: '单位', until: '截止', usage: '用法', valid_from: '开始日期', valid_to: '结束日期', weekday: '星期',
  window: '窗口', witness: '见证人',
}
const MOST_ROWS = 10_000

/** A field error as one reads it, `lines.2.quantity` → “第 3 行 数量：应为数字”; a message that names its field stays as it is. */
export function namedError(error: FieldError): string {
  const parts = error.field.split('.')
  const name = NAMES[parts[parts.length - 1]] ?? ''
  const place = parts.find((part, i) => i > 0 && /^\d+$/.test(part) && Number(part) < MOST_ROWS)
  // The rows of a file are counted as its reader counts them, those of a form from 0.
  const row = place === undefined ? '' : `第 ${parts[0] === 'rows' ? Number(place) : Number(place) + 1} 行`
  const where = [row, error.message.startsWith(name) ? '' : name].filter(Boolean).join(' ')
  return where ? `${where}：${error.message}` : error.message
}
