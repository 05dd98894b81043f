#!/bin/sh
# Writes what runs one of the example daemons: write.sh DAEMON FOLDER. For DAEMON these are made, for /usr/local/bin/DAEMON:
#
#   DAEMON.service          systemd: in the foreground, ready when it says so, without what it does not need
#   DAEMON-forking.service  systemd: in the background, with a pid file, as an old unit has it
#   DAEMON.socket           systemd: started by its first client (servers only)
#   s6/DAEMON/              s6: run and notification-fd
#   runit/DAEMON/run        runit
#   init.d/DAEMON           an init script with the words and statuses of LSB
#   Containerfile           podman build -f FOLDER/Containerfile . ; as process 1 it stays in the foreground, ends on TERM
#
# One program for all of them: that it is not asked which one has started it is the library's.
set -eu
daemon=$1 folder=$2

# What differs: the pid file's name, the port, arguments, the configuration that must be there, and for the hardened unit,
# what the daemon needs besides reading files.
pidfile=$daemon port='' arguments='' needs='' reload="ExecReload=/bin/kill -HUP \$MAINPID" has_words=yes
case $daemon in
time_server)
    about='The time of day for whoever connects (RFC 867)' port=13
    rights='DynamicUser=yes
RuntimeDirectory=time_server
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX'
    ;;
echo_server) # a reload is an upgrade
    about='What is sent to it comes back (RFC 862)' port=7
    arguments='-c /run/echo_server/control' reload="ExecReload=/bin/kill -USR2 \$MAINPID"
    rights='DynamicUser=yes
RuntimeDirectory=echo_server
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX'
    ;;
finger_server) # the parent opens files for a worker that it makes nobody, and passes signals on to it
    about='Plans of users for whoever asks (RFC 1288)' port=79 reload=''
    rights='RuntimeDirectory=finger_server
StateDirectory=finger
StateDirectoryMode=0700
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_KILL
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX'
    ;;
confined_server) # becomes nobody by itself
    about='The time of day over HTTP' arguments='0.0.0.0 80' reload=''
    rights='RuntimeDirectory=confined_server
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SETPCAP
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_UNIX'
    ;;
simple_daemon)
    about='Work every ten seconds' pidfile=mydaemon arguments='/var/log/mydaemon/mydaemon.log' reload=''
    rights='DynamicUser=yes
RuntimeDirectory=mydaemon
LogsDirectory=mydaemon
CapabilityBoundingSet=
PrivateDevices=yes
RestrictAddressFamilies=AF_UNIX'
    ;;
security_scanner) # sees all files of this host, and writes to none
    about='Which files may anybody write' pidfile=security-scanner needs=/etc/security-scanner/config.yaml
    arguments='--log /var/log/security-scanner/security-scanner.log --control /run/security-scanner/control'
    rights='RuntimeDirectory=security-scanner
LogsDirectory=security-scanner
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SETUID CAP_SETGID
RestrictAddressFamilies=AF_UNIX'
    ;;
wireless_monitor) # its scans are commands of the shell
    about='Wireless networks that are seen here' pidfile=wireless-monitor has_words=''
    arguments='--log /var/log/wireless-monitor/wireless-monitor.log'
    rights='RuntimeDirectory=wireless-monitor
LogsDirectory=wireless-monitor
CapabilityBoundingSet=CAP_NET_ADMIN CAP_SETPCAP
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_UNIX AF_NETLINK'
    ;;
network_scanner) # runs nmap as nobody
    about='Open ports of this network' pidfile=network-scanner has_words='' needs=/etc/scanner/targets.txt
    arguments='--log /var/log/network-scanner/network-scanner.log'
    rights='RuntimeDirectory=network-scanner
LogsDirectory=network-scanner
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_KILL
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK'
    ;;
*)
    echo "$0: there is no example daemon $daemon" >&2
    exit 2
    ;;
esac
program=/usr/local/bin/$daemon
start=$program${has_words:+ start}
# In the foreground, whoever has started it.
run="$program$([ -n "$has_words" ] && echo ' run' || echo ' --foreground')"
arguments=${arguments:+ $arguments}
# What systemd makes before it starts the daemon.
folders=$(printf '%s\n' "$rights" | sed -n 's|^RuntimeDirectory=|/run/|p; s|^LogsDirectory=|/var/log/|p; s|^StateDirectory=|/var/lib/|p' |
    tr '\n' ' ' | sed 's/ $//')

mkdir -p "$folder/s6/$daemon" "$folder/runit/$daemon" "$folder/init.d"

unit="[Unit]
Description=$about${needs:+
ConditionPathExists=$needs}
After=network.target"

cat > "$folder/$daemon.service" <<END
$unit

[Service]
Type=notify
ExecStart=$start --pidfile /run/$pidfile/$pidfile.pid$arguments
${reload:+$reload
}Restart=on-failure
WatchdogSec=30

$rights
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
UMask=0077

[Install]
WantedBy=multi-user.target
END

# PIDFile= is what tells the program to go into the background.
cat > "$folder/$daemon-forking.service" <<END
$unit
Conflicts=$daemon.service

[Service]
Type=forking
PIDFile=/run/$pidfile.pid
ExecStart=$start$arguments
${reload:+$reload
}$(printf '%s\n' "$rights" | grep -E '^(Runtime|State|Logs)Directory' || true)
Restart=on-failure

[Install]
WantedBy=multi-user.target
END

if [ -n "$port" ]; then
    cat > "$folder/$daemon.socket" <<END
[Unit]
Description=$about

[Socket]
ListenStream=$port
FileDescriptorName=${daemon%_server}

[Install]
WantedBy=sockets.target
END
fi

# s6-svwait -U and dependent services wait until it is ready, where the program can be told of the descriptor.
cat > "$folder/s6/$daemon/run" <<END
#!/bin/sh
mkdir -p $folders
exec $run${has_words:+ --notify-fd 3}$arguments 2>&1
END
rm -f "$folder/s6/$daemon/notification-fd"
[ -z "$has_words" ] || echo 3 > "$folder/s6/$daemon/notification-fd"

# runit sets nothing that it could be known by, so the script says what is wanted.
cat > "$folder/runit/$daemon/run" <<END
#!/bin/sh
mkdir -p $folders
exec $run$arguments 2>&1
END

cat > "$folder/init.d/$daemon" <<END
#!/bin/sh
### BEGIN INIT INFO
# Provides:          $daemon
# Required-Start:    \$remote_fs \$network \$syslog
# Required-Stop:     \$remote_fs \$network \$syslog
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: $about
### END INIT INFO
mkdir -p $folders
END
if [ -n "$has_words" ]; then
    cat >> "$folder/init.d/$daemon" <<END

# The program knows these words, and leaves with the statuses that LSB asks for.
case "\$1" in
start | restart) exec $program "\$1" --background$arguments ;;
stop | reload | status) exec $program "\$1"$arguments ;;
force-reload) exec $program reload$arguments ;;
END
else
    cat >> "$folder/init.d/$daemon" <<END

# The program is its start; the rest is for who stands in its pid file.
PIDFILE=/run/$pidfile.pid
case "\$1" in
start) exec start-stop-daemon --start --oknodo --pidfile "\$PIDFILE" --exec $program -- --pidfile "\$PIDFILE"$arguments ;;
stop) exec start-stop-daemon --stop --oknodo --retry 30 --pidfile "\$PIDFILE" --exec $program ;;
restart) "\$0" stop && exec "\$0" start ;;
reload | force-reload) exec start-stop-daemon --stop --signal HUP --pidfile "\$PIDFILE" --exec $program ;;
status) exec start-stop-daemon --status --pidfile "\$PIDFILE" --exec $program ;;
END
fi
cat >> "$folder/init.d/$daemon" <<END
*)
    echo "usage: \$0 {start|stop|restart|reload|force-reload|status}" >&2
    exit 2
    ;;
esac
END
chmod 755 "$folder/s6/$daemon/run" "$folder/runit/$daemon/run" "$folder/init.d/$daemon"

# What the image has besides: to build with, and to run with.
build='' libraries='' packages=''
case $daemon in
security_scanner) build=' libyaml-dev' libraries=' -lyaml' packages=' libyaml-0-2' ;;
wireless_monitor) packages=' iw' ;;
network_scanner) packages=' nmap' ;;
esac
cat > "$folder/Containerfile" <<END
FROM debian:stable AS build
RUN apt-get update && apt-get install -y --no-install-recommends binutils ca-certificates cargo gcc libc6-dev make$build
WORKDIR /src
COPY Cargo.toml Makefile build.rs cbindgen.toml ./
COPY src src
COPY include include
RUN make
COPY c-examples c-examples
RUN cc -O2 -Iinclude c-examples/$daemon.c -o /$daemon target/ship/librsdaemon.a$libraries

FROM debian:stable${packages:+
RUN apt-get update && apt-get install -y --no-install-recommends$packages}
RUN mkdir -p $folders
COPY --from=build /$daemon $program
${port:+EXPOSE $port
}CMD ["$program"$(for argument in ${has_words:+start} $arguments; do printf ', "%s"' "$argument"; done)]
END
