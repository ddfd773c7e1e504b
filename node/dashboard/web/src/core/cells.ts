// The server's columns as the page shows them: ages count on, times and counts sort as such, the namespace comes first
// where several are mixed.
import type { Column, Row } from './live.svelte'
import type { Shown } from '../parts/Grid.svelte'
import { age, duration, secondsOf } from './time'

const text = (value: unknown): string => (value === null || value === undefined ? '' : String(value))

export function shown(columns: Column[], options: { namespaces: boolean; wide: boolean }, now: () => number): Shown[] {
  const list: Shown[] = []
  columns.forEach((column, index) => {
    if (column.priority > 0 && !options.wide) return
    if (column.name === 'Age') {
      list.push({
        name: 'Age',
        soft: true,
        text: row => age(row.created, now()) || text(row.cells[index]),
        key: row => -Date.parse(row.created) || 0
      })
      return
    }
    const isAge = /^(Last Seen|First Seen|Last Schedule)$/i.test(column.name)
    const since = (row: Row): number => secondsOf(text(row.cells[index])) + Math.max(0, now() - row.told) / 1000
    const cell = isAge
      ? (row: Row): string => (/^\d|invalid/.test(text(row.cells[index])) ? duration(since(row)) : text(row.cells[index]))
      : (row: Row): string => text(row.cells[index])
    const isNumber = column.type === 'integer' || column.type === 'number'
    list.push({
      name: column.name,
      text: cell,
      soft: index > 0 && !/ready|status/i.test(column.name),
      key: isAge || column.name === 'Duration'
        ? row => (isAge ? since(row) : secondsOf(cell(row)))
        : isNumber || column.name === 'Restarts'
          ? row => parseInt(cell(row)) || 0
          : undefined
    })
  })
  if (options.namespaces) list.splice(1, 0, { name: 'Namespace', text: row => row.namespace, soft: true })
  return list
}
