#!/usr/bin/env bash
# Starts meterd with its demo, and a Prometheus (Debian's package) that scrapes it and evaluates the alert rules. Prints
# where they are and how Grafana gets its dashboard; ends both with Ctrl-C. Data stay in DIR (METERD_OBSERVE_DIR, by
# default ./data/observe). Needs bin/meterd, curl and prometheus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

meterd_address=${METERD_OBSERVE_ADDRESS:-127.0.0.1:8480}
# Not 9090: there Debian's own service may listen.
prometheus_address=${METERD_OBSERVE_PROMETHEUS:-127.0.0.1:9480}
dir=${METERD_OBSERVE_DIR:-data/observe}
pids=()

# finish ends what this script started, newest first, and nothing else.
finish() {
	local status=$? i
	trap '' INT TERM # It must end whatever comes.
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
		kill "${pids[i]}" 2>/dev/null || true
		wait "${pids[i]}" 2>/dev/null || true
	done
	exit "$status"
}
trap finish EXIT
trap 'exit 0' INT TERM

# await WHAT PID URL asks until it answers, for two minutes at most (the demo takes some seconds), while the process lives.
await() {
	local try
	for ((try = 0; try < 1200; try++)); do
		if curl --silent --fail --max-time 5 --output /dev/null "$3"; then return; fi
		kill -0 "$2" 2>/dev/null || break
		sleep 0.1
	done
	tail -n 20 "$dir/$1.log" >&2
	echo "observe: $1 is not ready; its log is above, and in $dir" >&2
	exit 1
}

mkdir -p "$dir"
cat >"$dir/prometheus.yml" <<EOF
global: {scrape_interval: 15s, evaluation_interval: 15s}
rule_files: ["$PWD/docs/alerts/meterd.rules.yml"]
scrape_configs:
  - job_name: meterd
    static_configs: [{targets: ["$meterd_address"]}]
EOF

# In the background, with no terminal's signals: this script ends them in order.
setsid bin/meterd serve --demo --data "$dir/meterd" --listen "$meterd_address" >"$dir/meterd.log" 2>&1 &
pids+=($!)
await meterd "${pids[0]}" "http://$meterd_address/readyz"
setsid prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/prometheus" \
	--web.listen-address="$prometheus_address" >"$dir/prometheus.log" 2>&1 &
pids+=($!)
await prometheus "${pids[1]}" "http://$prometheus_address/-/ready"

token=$(cat "$dir/meterd/admin.token")
cat <<EOF
meterd        http://$meterd_address
  metrics     http://$meterd_address/metrics
  history     curl -H 'Authorization: Bearer $token' 'http://$meterd_address/prometheus/api/v1/query?query=meterd_licenses'
Prometheus    http://$prometheus_address
  alerts      http://$prometheus_address/alerts

Grafana is in no Debian release. In yours, make two data sources of the type Prometheus:
  meterd      http://$meterd_address/prometheus, with the header Authorization: Bearer $token
  Prometheus  http://$prometheus_address
then import docs/grafana/meterd.json (Dashboards, New, Import), and choose them at its top.

Ctrl-C ends both; their data stay in $dir.
EOF
if [ "${1:-}" = --once ]; then exit 0; fi
wait -n "${pids[@]}" || true
echo 'observe: one of the two has ended' >&2
exit 1
