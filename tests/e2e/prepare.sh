#!/bin/sh
# Installs a folder's npm packages as its lock file names them, unless that was done since the lock file changed.
set -eu
folder=$1
if [ "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ]; then
	echo "$folder: packages are in place"
	exit 0
fi
exec npm --prefix "$folder" ci
