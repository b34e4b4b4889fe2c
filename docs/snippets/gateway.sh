#!/bin/sh
# A gateway in a few lines of shell and curl (7.71 or later): it asks meterd whether a device may connect and whether
# each of its messages may pass.
#
#   sh docs/snippets/gateway.sh PRODUCT DEVICE MESSAGES
set -eu
url=${METERD_URL:-http://127.0.0.1:8480}
producer=${METERD_PRODUCER:-gw-curl} # This gateway's own name: no other process may use it.
token=$(cat "${METERD_TOKEN_FILE:-data/admin.token}")
product=$1 device=$2 messages=$3

# call ARGUMENT … is curl with the token, which no list of processes shows.
call() {
	printf 'header = "Authorization: Bearer %s"\n' "$token" | curl --config - --silent --show-error --max-time 60 "$@"
}

# Sequences go on above the last one. The gap is for what a killed predecessor may still have on its way.
last=$(call "$url/v1/producers/$producer" | sed -n 's/.*"last_sequence":\([0-9]*\).*/\1/p')
sequence=$((${last:-0} + 1000))

# decide TYPE sets verdict to "accepted", or to the code of the denial. Without an answer nobody knows what was counted,
# so --retry sends the same bytes with the same sequence again: those count once, however often they come.
decide() {
	sequence=$((sequence + 1))
	answer=$(call --retry 8 --retry-all-errors --retry-delay 1 --write-out ' %{http_code}' "$url/v1/events" \
		-H 'Content-Type: application/json' -H "Meterd-Producer: $producer" -H "Meterd-Sequence: $sequence" \
		--data "[{\"type\":\"$1\",\"product\":\"$product\",\"device\":\"$device\",\"size\":7}]" 2>/dev/null) || true
	case $answer in
	'{"accepted":1,'*' 200') verdict=accepted ;;
	'{"accepted":0,'*' 200') verdict=$(echo "$answer" | sed 's/.*"code":"\([^"]*\)".*/\1/') ;;
	*) echo "refused, or not answered: $answer" >&2 && exit 1 ;;
	esac
}

decide connect
echo "connect: $verdict"
[ "$verdict" = accepted ] || exit 1 # Close the device's connection.

n=1
while [ "$n" -le "$messages" ]; do
	decide up
	echo "up $n: $verdict" # Hand an accepted message to the platform; drop a denied one.
	n=$((n + 1))
done
decide disconnect
