/** ECharts, only what is used, in a chunk of its own. */
import { BarChart, LineChart, PieChart } from 'echarts/charts'
import { DatasetComponent, GridComponent, LegendComponent, TitleComponent, TooltipComponent } from 'echarts/components'
import { init, use, type EChartsCoreOption, type EChartsType } from 'echarts/core'
import { CanvasRenderer } from 'echarts/renderers'

use([BarChart, LineChart, PieChart, GridComponent, LegendComponent, TitleComponent, TooltipComponent, DatasetComponent, CanvasRenderer])

const COLOURS = ['#0b6b72', '#d08a22', '#1f5fa8', '#8a4f7d', '#5a8f3c', '#b3554a', '#5c6f7a']

export function draw(element: HTMLElement): EChartsType {
  return init(element)
}

/** The house's look; tooltips drawn on the canvas, as HTML ones need inline styles, which the CSP forbids. */
export function dressed(option: EChartsCoreOption): EChartsCoreOption {
  const font = getComputedStyle(document.body).fontFamily
  return {
    color: COLOURS, textStyle: { fontFamily: font }, animationDuration: 250,
    grid: { left: 12, right: 16, top: 36, bottom: 8, containLabel: true },
    ...option,
    tooltip: { trigger: 'axis', ...(option.tooltip as object), renderMode: 'richText' },
  }
}
