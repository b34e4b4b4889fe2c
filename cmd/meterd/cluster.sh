#!/usr/bin/env bash
# Starts three nodes of a cluster on this machine and gateways that ask all of them. Prints what to try, then what the
# gateways notice, once a second. A node that ends is started again ten seconds later. Ctrl-C ends everything; with
# --once SECONDS it ends by itself. Data stay in DIR (METERD_CLUSTER_DIR, by default ./data/cluster). Needs bin/meterd,
# bin/demo-load and curl.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

host=127.0.0.1
port=${METERD_CLUSTER_PORT:-8480} # Of the first node; the others have the next ones.
nats=${METERD_CLUSTER_NATS_PORT:-6222}
dir=${METERD_CLUSTER_DIR:-data/cluster}
routes=$host:$nats,$host:$((nats + 1)),$host:$((nats + 2))
urls=http://$host:$port,http://$host:$((port + 1)),http://$host:$((port + 2))
keepers=()
load=

# keep runs node I, and runs it again ten seconds after it ended.
keep() {
	local node=n$(($1 + 1))
	while :; do
		# With no terminal's signals: finish ends it in order.
		setsid bin/meterd serve --cluster demo --node $node --data "$dir/$node" --listen $host:$((port + $1)) \
			--nats-listen $host:$((nats + $1)) --nats-routes "$routes" >>"$dir/$node.log" 2>&1 &
		echo $! >"$dir/$node.pid"
		{ wait $! || true; } 2>/dev/null # It would say how it ended.
		echo "cluster: $node has ended, and is started again in ten seconds" >&2
		sleep 10
	done
}

# finish ends what this script started, the gateways first, and nothing else.
finish() {
	local status=$? pid try
	trap '' INT TERM # It must end whatever comes.
	if [ -n "$load" ] && kill -TERM "$load" 2>/dev/null; then wait "$load" || status=$?; fi
	for pid in "${keepers[@]}"; do kill "$pid" && wait "$pid" || true; done 2>/dev/null
	for pid in $(cat "$dir"/n?.pid); do
		kill "$pid" 2>/dev/null || continue
		kill -CONT "$pid" 2>/dev/null || true
	done
	for pid in $(cat "$dir"/n?.pid); do
		for ((try = 0; try < 300; try++)); do kill -0 "$pid" 2>/dev/null || continue 2; sleep 0.1; done
		kill -9 "$pid" 2>/dev/null || true
	done
	rm -f "$dir"/n?.pid
	exit "$status"
}
trap finish EXIT
trap 'exit 0' INT TERM

mkdir -p "$dir"
for i in 0 1 2; do
	keep "$i" &
	keepers+=($!)
done

# ready asks every node, for two minutes at most, and looks for the token that the one which made the cluster writes.
ready() {
	local try i
	for ((try = 0; try < 600; try++)); do
		sleep 0.2
		for i in 0 1 2; do
			curl --silent --fail --max-time 2 --output /dev/null "http://$host:$((port + i))/readyz" || continue 2
		done
		for token in "$dir"/n?/admin.token; do
			if [ -s "$token" ]; then return; fi
		done
	done
	tail -n 5 "$dir"/n?.log >&2
	echo "cluster: the nodes are not ready; their logs are above, and in $dir" >&2
	exit 1
}
ready

cat <<END

Three nodes are a cluster: n1 http://$host:$port, n2 …:$((port + 1)), n3 …:$((port + 2)). Any of them takes any request:

  bin/meterd ctl --url $urls --token-file $token cluster
  curl -s http://$host:$((port + 1))/v1/cluster -H "Authorization: Bearer \$(cat $token)"

The console is at each address; its administrator's token is in $token.
Three gateways with twenty devices each go on below. In another shell, kill or pause a node, and see what they notice:

  kill -9 \$(cat $dir/n1.pid)
  kill -STOP \$(cat $dir/n2.pid); sleep 30; kill -CONT \$(cat $dir/n2.pid)

A node that ended is started again ten seconds later. Ctrl-C ends everything, and says whether what was answered is what
is counted. Data and logs stay in $dir.

END
setsid bin/demo-load --url "$urls" --token-file "$token" &
load=$!
if [ "${1:-}" = --once ]; then sleep "${2:-10}" & wait $! || true; exit 0; fi
wait "$load" || true
load=
echo 'cluster: the gateways have ended' >&2
exit 1
