import { Bars } from '../../components/bars';
import { Chart } from '../../components/chart';
import { OfHistory } from '../../components/history';
import { Panel, Section } from '../../components/layout';
import { useLoad } from '../../load';
import { useLocale } from '../../locale';
import { queryRange } from '../../prom';

interface Flow {
  times: number[];
  accepted: (number | null)[];
  denied: (number | null)[];
}

const stepSeconds = 15; // how often the history takes a sample
const spanSeconds = 30 * 60;
const hours = 24;

/** Messages by their verdict, over time: by tells what of them, as PromQL. */
async function flow(
  by: (selector: string) => string, from: number, to: number, step: number, signal: AbortSignal,
): Promise<Flow> {
  const ask = (selector: string) => queryRange(by(`meterd_messages_total{${selector}}`), from, to, step, signal);
  const [accepted, denied] = await Promise.all([ask('verdict="accepted"'), ask('verdict!="accepted"')]);
  return {
    times: accepted.times,
    accepted: accepted.series[0]?.values ?? accepted.times.map(() => 0),
    denied: denied.series[0]?.values ?? accepted.times.map(() => 0),
  };
}

const isQuiet = ({ accepted, denied }: Flow) => ![...accepted, ...denied].some((n) => n !== null && n > 0);

/** Messages a second of the last half hour, and an hour of the last day. */
export function Traffic() {
  const { t, f } = useLocale();
  const recent = useLoad((signal) => {
    const now = Date.now() / 1000;
    return flow((of) => `sum(rate(${of}[1m]))`, now - spanSeconds, now, stepSeconds, signal);
  }, [], { everyMs: stepSeconds * 1000 });
  const day = useLoad((signal) => {
    const now = Date.now() / 1000;
    return flow((of) => `sum(increase(${of}[1h]))`, now - (hours - 1) * 3600, now, 3600, signal);
  }, [], { everyMs: 60_000 });

  return (
    <div class="columns section">
      <Section title={t.overview.traffic} lead={t.overview.trafficLead}>
        <Panel>
          <OfHistory of={recent} isQuiet={isQuiet}>
            {(got) => (
              <Chart
                label={`${t.overview.traffic}. ${t.overview.trafficLead}`} times={got.times}
                series={[
                  { label: t.terms.accepted, values: got.accepted, tone: 'accent', isArea: true },
                  { label: t.terms.denied, values: got.denied, tone: 'bad', isArea: true },
                ]}
              />
            )}
          </OfHistory>
        </Panel>
      </Section>
      <Section title={t.overview.lastDay} lead={t.overview.lastDayLead}>
        <Panel>
          <OfHistory of={day} isQuiet={isQuiet}>
            {(got) => (
              <Bars
                label={`${t.overview.lastDay}. ${t.overview.lastDayLead}`} nameTitle={t.overview.hour}
                names={got.times.map((at) => f.time(new Date((at - 3600) * 1000)).slice(0, 5))}
                series={[
                  { label: t.terms.accepted, values: got.accepted.map((n) => Math.round(n ?? 0)), tone: 'accent' },
                  { label: t.terms.denied, values: got.denied.map((n) => Math.round(n ?? 0)), tone: 'bad' },
                ]}
              />
            )}
          </OfHistory>
        </Panel>
      </Section>
    </div>
  );
}
