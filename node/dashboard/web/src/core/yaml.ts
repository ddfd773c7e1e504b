// JSON as YAML, in the way that kubectl prints it: for reading and editing, in the order that the server gives. What
// comes back is read by the server itself.

const PLAIN = /^[A-Za-z_./][A-Za-z0-9_./ ()=+*@$-]*$/
/** What YAML 1.1 reads as something other than text. */
const OTHER = /^(y|n|yes|no|on|off|true|false|null|~|\.inf|\.nan|[-+.]?[0-9].*|0x.*|0o.*)$/i

function scalar(value: string): string {
  if (value === '') return '""'
  if (PLAIN.test(value) && !OTHER.test(value) && !value.endsWith(' ')) return value
  return JSON.stringify(value)
}

function block(value: string, indent: string): string | undefined {
  if (!value.includes('\n') || /[^\x20-\x7e\n\u00a0-\ufffd]/.test(value) || /^\s/.test(value)) return undefined
  const body = value.endsWith('\n') ? value.slice(0, -1) : value
  if (body.endsWith('\n') || body.split('\n').some(line => /\s$/.test(line))) return undefined
  const lines = body.split('\n').map(line => (line === '' ? '' : `${indent}  ${line}`))
  return `${value.endsWith('\n') ? '|' : '|-'}\n${lines.join('\n')}`
}

function write(value: unknown, indent: string, out: string[], first: string): void {
  if (Array.isArray(value)) {
    if (value.length === 0) out.push(`${first} []`)
    else {
      if (first) out.push(first)
      for (const item of value) put(item, indent, out, `${indent}-`, true)
    }
  } else if (value !== null && typeof value === 'object') {
    const fields = Object.entries(value)
    if (fields.length === 0) out.push(`${first} {}`)
    else {
      if (first) out.push(first)
      for (const [key, inner] of fields) put(inner, indent, out, `${indent}${scalar(key)}:`, false)
    }
  } else {
    const text = typeof value === 'string' ? (block(value, indent) ?? scalar(value)) : String(value)
    out.push(`${first} ${text}`)
  }
}

function put(value: unknown, indent: string, out: string[], first: string, item: boolean): void {
  const nested = value !== null && typeof value === 'object'
  if (item && nested && !Array.isArray(value) && Object.keys(value as object).length > 0) {
    // The first field of an object in a list stands beside its dash.
    const inner: string[] = []
    write(value, `${indent}  `, inner, '')
    inner[0] = `${first} ${(inner[0] ?? '').slice(indent.length + 2)}`
    out.push(...inner)
  } else if (nested && !Array.isArray(value)) write(value, `${indent}  `, out, first)
  else write(value, item ? `${indent}  ` : indent, out, first)
}

export function toYaml(value: unknown): string {
  const out: string[] = []
  write(value, '', out, '')
  return `${out.join('\n')}\n`
}

/** The order in which people read an object. */
const FIRST = ['apiVersion', 'kind', 'metadata', 'spec', 'data']
const FIRST_OF_METADATA = ['name', 'namespace', 'labels', 'annotations']

function ordered(object: Record<string, unknown>, first: string[]): Record<string, unknown> {
  const keys = [...first.filter(key => key in object), ...Object.keys(object).filter(key => !first.includes(key))]
  return Object.fromEntries(keys.map(key => [key, object[key]]))
}

/** An object as people edit it: in their order, and without who last wrote which field. */
export function forPeople(object: { metadata?: Record<string, unknown> }): unknown {
  const { managedFields: _, ...metadata } = object.metadata ?? {}
  return ordered({ ...object, metadata: ordered(metadata, FIRST_OF_METADATA) }, FIRST)
}
