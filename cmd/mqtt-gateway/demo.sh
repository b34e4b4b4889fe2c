#!/usr/bin/env bash
# Starts meterd and the gateway, and lets stock MQTT clients through until their quota of 10 messages a day is used up:
# ten of the sensor's messages reach the screen, the eleventh is refused (R10). Leaves nothing behind. Exits 1 if any of
# that came otherwise. Needs bin/meterd, bin/mqtt-gateway, curl, mosquitto_pub and mosquitto_sub.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

meterd_address=${METERD_DEMO_ADDRESS:-127.0.0.1:18480}
mqtt_address=${METERD_DEMO_MQTT_ADDRESS:-127.0.0.1:18830}
quota=10

dir=$(mktemp -d)
pids=()

# finish ends what this script started, newest first, and nothing else.
finish() {
	local status=$? i
	trap '' INT TERM # It must end whatever comes.
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
		kill "${pids[i]}" 2>/dev/null || true
		wait "${pids[i]}" 2>/dev/null || true
	done
	if [ "$status" -eq 1 ]; then
		tail -n 20 "$dir"/*.log >&2 2>/dev/null || true
		echo 'mqtt-demo: failed; the logs are above' >&2
	fi
	rm -rf "$dir"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "mqtt-demo: $1" >&2
	exit 1
}

# await WHAT PID COMMAND … tries a command until it succeeds, for 20 s at most, and only while the process lives.
await() {
	local what=$1 pid=$2 try
	shift 2
	for ((try = 0; try < 200; try++)); do
		if "$@" >/dev/null 2>&1; then return; fi
		kill -0 "$pid" 2>/dev/null || die "$what ended before it was ready"
		sleep 0.1
	done
	die "$what was not ready after 20 s"
}

# is_open HOST:PORT says whether somebody listens there.
is_open() { (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null; }

# api METHOD PATH [BODY] prints the answer, and fails for any status but 2xx.
api() {
	curl --silent --show-error --fail-with-body --max-time 10 -X "$1" "http://$meterd_address$2" \
		-H "Authorization: Bearer $token" -H 'Content-Type: application/json' ${3:+--data "$3"}
}

# What every stock client is given; its -i names the device.
stock=(-h "${mqtt_address%:*}" -p "${mqtt_address##*:}" -u p1 -q 1)

if is_open "$meterd_address"; then die "$meterd_address is taken: set METERD_DEMO_ADDRESS"; fi
if is_open "$mqtt_address"; then die "$mqtt_address is taken: set METERD_DEMO_MQTT_ADDRESS"; fi

echo "meterd on $meterd_address"
bin/meterd serve --data "$dir/data" --listen "$meterd_address" >"$dir/meterd.log" 2>&1 &
pids+=($!)
await meterd $! curl --silent --fail --max-time 2 "http://$meterd_address/readyz"
token=$(<"$dir/data/admin.token")

# A time zone where it is noon, so that no day ends while this runs.
noon=$(printf '%+03d:00' $((12 - 10#$(date -u +%H))))
echo "an account, a product with $quota messages a day, two licences"
api POST /v1/accounts '{"account":"acme","kind":"enterprise"}' >/dev/null
api POST /v1/products "{\"product\":\"p1\",\"account\":\"acme\",\"time_zone\":\"$noon\",\"plan\":{\"messages_per_day\":$quota}}" >/dev/null
api POST /v1/products/p1/lots '{"order":"PO-1","quantity":2}' >/dev/null

echo "mqtt-gateway on $mqtt_address"
bin/mqtt-gateway --listen "$mqtt_address" --metrics-listen '' --producer mqtt-demo \
	--meterd-url "http://$meterd_address" --token-file "$dir/data/admin.token" >"$dir/gateway.log" 2>&1 &
pids+=($!)
await mqtt-gateway $! is_open "$mqtt_address"

stdbuf -oL mosquitto_sub "${stock[@]}" -i screen -V mqttv311 -t 'demo/#' -d -F 'got %p' -C "$quota" -W 60 >"$dir/screen.log" 2>&1 &
screen=$!
pids+=("$screen")
await 'the screen' "$screen" grep '^Subscribed' "$dir/screen.log"

for ((n = 1; n <= quota + 1; n++)); do
	# A refused message is a warning of mosquitto_pub, not an exit status.
	said=$(mosquitto_pub "${stock[@]}" -i sensor -V mqttv5 -t demo/temperature -m "message $n" 2>&1) || die "the sensor's message $n: $said"
	said=${said//$'\n'/ }
	echo "sensor: message $n ${said:+refused: }${said:-went through}"
	if [ "$n" -le "$quota" ]; then
		[ -z "$said" ] || die "message $n is within the quota and was refused"
	else
		[[ $said == *'uota exceeded'* ]] || die "message $n is beyond the quota and was not refused"
	fi
done

wait "$screen" || die "the screen did not get $quota messages in 60 s"
diff <(for ((n = 1; n <= quota; n++)); do echo "got message $n"; done) <(grep '^got ' "$dir/screen.log") || die 'the screen got something else'
echo "screen: got messages 1 to $quota, in order"

view=$(api GET /v1/products/p1/devices/sensor)
echo "meterd: $view"
[[ $view == *"\"up\":$quota,"* && $view == *'"denied":1,'* ]] || die "that is not $quota messages up and 1 denied"
echo "mqtt-demo: $quota messages passed, the next one did not"
