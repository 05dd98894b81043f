#!/bin/sh
# Builds what c-examples/supervisors/write.sh writes for containers, runs each example daemon as process 1 of one, and stops it.
# usage: sh containers.sh [DAEMON...]. Needs podman and the network; PODMAN, BUILD and RUN add options to podman, to its build and to its run.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
container=
clean_up() {
    [ -z "$container" ] || podman ${PODMAN-} rm -f "$container" >/dev/null
    rm -rf "$folder"
}
trap clean_up EXIT
printf 'folders: [/usr]\n' > "$folder/config.yaml"
printf '127.0.0.1\n' > "$folder/targets.txt"

for daemon in ${*:-time_server echo_server finger_server confined_server simple_daemon security_scanner wireless_monitor network_scanner}; do
    case $daemon in
    security_scanner) mount="-v $folder/config.yaml:/etc/security-scanner/config.yaml:ro" ;;
    network_scanner) mount="-v $folder/targets.txt:/etc/scanner/targets.txt:ro" ;;
    *) mount= ;;
    esac
    sh c-examples/supervisors/write.sh $daemon "$folder"
    podman ${PODMAN-} build ${BUILD-} -t rsdaemon-$daemon -f "$folder/Containerfile" . > "$folder/log" 2>&1 ||
        { tail -n 20 "$folder/log"; echo "FAILED: $daemon: not built"; exit 1; }
    container=$(podman ${PODMAN-} run -d ${RUN-} $mount rsdaemon-$daemon)
    # Whoever is ready has a handler for SIGTERM, 0x4000.
    caught=0 tries=0
    until [ $((0x$caught & 0x4000)) -ne 0 ]; do
        [ $((tries += 1)) -lt 50 ] || { podman ${PODMAN-} logs "$container"; echo "FAILED: $daemon: not ready"; exit 1; }
        sleep 0.2
        caught=$(podman ${PODMAN-} exec "$container" sed -n 's/^SigCgt:\t0*/0/p' /proc/1/status) || caught=0
    done
    name=$(podman ${PODMAN-} exec "$container" cat /proc/1/comm) # its first 15 characters
    start=$(date +%s)
    podman ${PODMAN-} stop -t 30 "$container" >/dev/null
    took=$(($(date +%s) - start))
    status=$(podman ${PODMAN-} inspect -f '{{.State.ExitCode}}' "$container")
    podman ${PODMAN-} logs "$container"
    podman ${PODMAN-} rm "$container" >/dev/null
    container=
    [ "$name $status" = "$(printf %.15s $daemon) 0" ] && [ $took -lt 20 ] ||
        { echo "FAILED: $daemon: process 1 is $name, it ended with $status after $took s"; exit 1; }
    echo "$daemon: process 1, stopped within $took s with status 0"
done
