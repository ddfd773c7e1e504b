// What lies over the page: at most one of these at a time.

export const ask = $state({ palette: false, help: false, create: false })

export interface Question {
  title: string
  text: string
  /** What the button says. */
  verb: string
  danger?: boolean
  /** A number to ask for, with its first value. */
  number?: number
  run: (number: number) => Promise<unknown>
}

export const question = $state<{ now: Question | undefined }>({ now: undefined })
