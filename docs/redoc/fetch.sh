#!/bin/sh
# fetch.sh takes the bundle that /docs shows the API with from the package that LOCK names, unchanged, with its licences.
# The package must have the checksum of LOCK.
set -eu
cd "$(dirname "$0")"
read -r package integrity <LOCK
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
npm pack --silent --pack-destination "$there" "$package" >/dev/null
got=sha512-$(openssl dgst -sha512 -binary "$there"/*.tgz | base64 -w 0)
if [ "$got" != "$integrity" ]; then
	echo "$package has the checksum $got, not that of docs/redoc/LOCK: nothing was taken" >&2
	exit 1
fi
tar -xzf "$there"/*.tgz -C "$there"
cp "$there/package/bundles/redoc.standalone.js" "$there/package/bundles/redoc.standalone.js.LICENSE.txt" \
	"$there/package/LICENSE" .
chmod 644 LICENSE redoc.standalone.js redoc.standalone.js.LICENSE.txt
sha256sum LICENSE redoc.standalone.js redoc.standalone.js.LICENSE.txt >SHA256SUMS
