import type { ComponentChildren } from 'preact';
import type { List } from '../load';
import { useLocale } from '../locale';
import { Empty, Loaded } from './state';

export interface Column<Row> {
  title: string;
  cell: (row: Row) => ComponentChildren;
  /** Numbers stand to the right. */
  isNumber?: boolean;
  /** Left out where there is little room. */
  isWide?: boolean;
}

interface TableProps<Row> {
  /** What the table shows, for those who do not see it. */
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string | number;
}

/** Rows and columns. Too wide a table scrolls by itself, also by keyboard. */
export function Table<Row>({ caption, columns, rows, rowKey }: TableProps<Row>) {
  const classes = (column: Column<Row>) =>
    [column.isNumber ? 'number' : '', column.isWide ? 'wide' : ''].join(' ').trim() || undefined;
  return (
    <div class="table-room" role="region" aria-label={caption} tabIndex={0}>
      <table>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => <th key={column.title} scope="col" class={classes(column)}>{column.title}</th>)}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)}>
              {columns.map((column) => <td key={column.title} class={classes(column)}>{column.cell(row)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface ListTableProps<Row> extends Omit<TableProps<Row>, 'rows'> {
  list: List<Row>;
  empty?: ComponentChildren;
}

/** A list of the API as a table with buttons for its pages. */
export function ListTable<Row>({ list, empty, ...table }: ListTableProps<Row>) {
  return (
    <Loaded of={list}>
      {(page) => (
        <>
          {page.rows.length ? <Table {...table} rows={page.rows} /> : (empty ?? <Empty />)}
          <Pager list={list} />
        </>
      )}
    </Loaded>
  );
}

function Pager<Row>({ list }: { list: List<Row> }) {
  const { t } = useLocale();
  if (!list.hasPrevious && !list.hasNext) return null;
  return (
    <nav class="pager" aria-label={t.shell.pages}>
      <button type="button" disabled={!list.hasPrevious} onClick={list.previous}>{t.shell.previous}</button>
      <span aria-live="polite">{t.shell.page(list.number)}</span>
      <button type="button" disabled={!list.hasNext} onClick={list.next}>{t.shell.next}</button>
    </nav>
  );
}
