#!/bin/sh
# The life of a daemon: start, pid file, second start, reload, stop. Checks each step and tells how
# long it took. Needs no root: all files are in a folder of its own.
#
# usage: sh demo.sh FOLDER    where the examples are built

set -u

program=${1:?"usage: sh demo.sh FOLDER"}/wireless_monitor
simple=$1/simple_daemon
for built in "$program" "$simple"; do
    [ -x "$built" ] || { echo "demo: $built: not built" >&2; exit 1; }
done

folder=$(mktemp -d) || exit 1
config=$folder/monitor.conf
pidfile=$folder/monitor.pid
log=$folder/monitor.log

is_running() { # a zombie is not
    case $(cat "/proc/$1/stat" 2>/dev/null) in '' | *') Z '*) return 1 ;; esac
}

clean_up() { # also what no pid file names
    for process in $(grep -laF "$folder" /proc/[0-9]*/cmdline 2>/dev/null); do
        process=${process%/cmdline}
        if [ "$process/exe" -ef "$program" ] || [ "$process/exe" -ef "$simple" ]; then kill -KILL "${process#/proc/}"; fi
    done
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

now() { date +%s%N; }

fail() {
    echo "FAILED: $*" >&2
    [ ! -e "$log" ] || { echo "its log:"; cat "$log"; } >&2
    exit 1
}

await() { # WHAT COMMAND...: until the command succeeds
    what=$1 left=1000
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "$what: not within 10 seconds"
        sleep 0.01
    done
}

took() { # SINCE STEP
    micros=$((($(now) - $1) / 1000))
    printf '%7d.%d ms  %s\n' $((micros / 1000)) $((micros % 1000 / 100)) "$2"
}

if [ -e /sys/class/net/wlan0 ]; then
    echo "scanning wlan0 by iwlist"
    echo "interval=60" > "$config"
else
    echo "no wlan0 here: scanning a file instead"
    printf '%s\n' 'Frequency:2.412 GHz' 'ESSID:"demo"' > "$folder/networks"
    printf '%s\n' "scan=grep -E 'SSID|Frequency|Signal' $folder/networks" "interval=60" > "$config"
fi

start() {
    "$program" --config "$config" --pidfile "$pidfile" --log "$log" 2>"$folder/stderr"
}

since=$(now)
start || fail "the start: status $?: $(cat "$folder/stderr")"
took "$since" "start: the command returned, so the daemon is ready"

pid=$(cat "$pidfile") || fail "no pid file"
is_running "$pid" || fail "the pid file says $pid, but that does not run"
[ "/proc/$pid/exe" -ef "$program" ] || fail "the pid file says $pid, but that is something else"
echo "            pid file: $pid"

await "the first scan" grep -q -E ' scan (complete|failed|ended)' "$log"
took "$since" "since the start: the first scan is in the log"

since=$(now)
start
status=$?
took "$since" "second start: status $status: $(cat "$folder/stderr")"
[ "$status" -eq 1 ] || fail "a second start left with status $status, not 1"
grep -q "already running as pid $pid," "$folder/stderr" || fail "it does not name pid $pid"
[ "$(cat "$pidfile")" = "$pid" ] || fail "the second start changed the pid file"

sed -i 's/^interval=.*/interval=30/' "$config"
since=$(now)
kill -HUP "$pid"
await "the reload" grep -q ' reloaded, every 30 s: ' "$log"
took "$since" "HUP: the changed interval is in use"

since=$(now)
kill -TERM "$pid"
stopped() { ! is_running "$pid"; }
await "the end" stopped
took "$since" "TERM: the daemon has ended"
[ ! -e "$pidfile" ] || fail "the pid file is still there"
[ "$(tail -n 1 "$log" | cut -d ' ' -f 3-)" = "stopped" ] || fail "the log does not end with its end"

echo "its log:"
cat "$log"

# The same life by a daemon's own command line.
say() { # STATUS WORD...
    expected=$1
    shift
    since=$(now)
    text=$("$simple" --pidfile "$folder/simple.pid" "$@" 2>&1)
    status=$?
    took "$since" "simple_daemon $1: status $status${text:+: $text}"
    [ "$status" -eq "$expected" ] || fail "simple_daemon $1: status $status, not $expected"
}

# Lines that are neither empty nor a comment.
lines=$(grep -cvE '^[[:space:]]*(/?\*.*)?$' "$(dirname "$0")/simple_daemon.c")
echo "simple_daemon, the guide's SimpleDaemon in $lines lines of C:"
say 3 status
say 0 start "$folder/simple.log"
say 0 start "$folder/simple.log"
say 0 status
say 0 restart "$folder/simple.log"
say 0 stop
say 0 stop
